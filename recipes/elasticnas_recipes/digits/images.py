"""Images: scikit-learn's handwritten digits, split, in batches with random shifts."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from elasticnas.packages import require_package

__all__ = ["Images", "load_images"]

_MEAN, _DEVIATION = 4.9, 6.0  # of grey values from 0 to 16


@dataclass(frozen=True)
class Images:
    """One part of the data: standardized images ``(n, 8, 8)`` and their digits ``(n,)``."""

    pixels: Tensor
    digits: Tensor

    def __len__(self) -> int:
        return len(self.digits)

    def to(self, device: torch.device) -> "Images":
        """Return the images on a device."""
        return Images(self.pixels.to(device), self.digits.to(device))

    def shifted(self, epoch: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield shuffled batches of an epoch, with each image randomly shifted by up to one pixel.

        The same epoch and seed give the same batches. A last, smaller batch is left out.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self), generator=generator)
        padded = torch.nn.functional.pad(self.pixels, (1, 1, 1, 1), value=-_MEAN / _DEVIATION)
        window = torch.arange(8)
        for start in range(0, max(1, len(self) - batch + 1), batch):
            rows = order[start : start + batch]
            down, right = torch.randint(3, (2, len(rows)), generator=generator)
            down, right = (down[:, None] + window)[:, :, None], (right[:, None] + window)[:, None, :]
            rows, down, right = (index.to(self.pixels.device) for index in (rows, down, right))
            yield padded[rows[:, None, None], down, right], self.digits[rows]


def load_images(seed: int) -> tuple[dict[str, Images], str]:
    """Load training, validation and test images (60, 20 and 20 % of 1,797, stratified), and their fingerprint.

    Source: scikit-learn's ``load_digits``, from Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI
    Machine Learning Repository, 1998.

    Raises:
        PluginError: scikit-learn is not installed.
    """
    require_package("sklearn", "digits", "scikit-learn")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    pixels, digits = (data.images.astype(np.float32) - _MEAN) / _DEVIATION, data.target.astype(np.int64)
    train, rest = train_test_split(np.arange(len(digits)), test_size=0.4, stratify=digits, random_state=seed)
    validation, test = train_test_split(rest, test_size=0.5, stratify=digits[rest], random_state=seed)
    rows = {"train": train, "validation": validation, "test": test}
    fingerprint = sha256(b"".join(pixels[part].tobytes() for part in rows.values())).hexdigest()
    parts = {
        name: Images(torch.from_numpy(pixels[part]), torch.from_numpy(digits[part])) for name, part in rows.items()
    }
    return parts, fingerprint
