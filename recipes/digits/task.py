"""The task: classify the digits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from digits.config import Config
from digits.images import Images, load_images
from digits.model import build, scaled
from elasticnas.study import Task

__all__ = ["task"]

Batch = tuple[Tensor, Tensor]


def task(config: Config, device: torch.device) -> Task:
    """Cross entropy on the training images; accuracy on the validation and test images."""
    seed = config.study.seed
    parts, fingerprint = load_images(seed)
    train, validation, test = (parts[name].to(device) for name in ("train", "validation", "test"))
    return Task(
        name="digits",
        build=build,
        scaled=scaled,
        loss=lambda network, batch: F.cross_entropy(network(batch[0]), batch[1]),
        predict=lambda network, batch: network(batch[0]),
        train=lambda epoch: train.shifted(epoch, config.batch, seed),
        validate=lambda network: _accuracy(network, validation),
        test=lambda network: _accuracy(network, test),
        metric="accuracy",
        maximise=True,
        example=torch.zeros(1, 8, 8),
        facts={name: f"{len(part):,} images" for name, part in parts.items()}
        | {"batch": config.batch, "fingerprint": fingerprint[:12]},
    )


def _accuracy(network: nn.Module, images: Images) -> dict[str, float]:
    return {"accuracy": float((network(images.pixels).argmax(-1) == images.digits).float().mean())}
