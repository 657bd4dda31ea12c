"""Corpus: text files as bytes, split by file, cut in windows."""

import random
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elasticnas.errors import DataError

__all__ = ["Corpus", "read_corpus", "standard_library"]

_PARTS = {"train": 0.8, "validation": 0.1, "test": 0.1}
_FEWEST_FILES = 10  # fewer are split each in itself, or a part might hold one odd file


@dataclass(frozen=True)
class Corpus:
    """Text of three parts.

    Attributes:
        train: Bytes, uint8 ``(n,)``.
        validation: Likewise.
        test: Likewise.
        files: How many they are from.
        skipped: Files of folders that are no UTF-8 text, or hold the text of another.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    files: int
    skipped: int = 0

    @property
    def fingerprint(self) -> str:
        """Tells corpora apart."""
        digest = sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(part.numpy().tobytes() + b"|")
        return digest.hexdigest()

    def windows(self, length: int, batch: int, epoch: int, seed: int) -> Iterator[Tensor]:
        """100 batches ``(B, N + 1)`` of training windows at random places, the same for the same number."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        starts = torch.randint(len(self.train) - length, (100, batch, 1), generator=generator)
        for rows in starts:
            yield self.train[rows + torch.arange(length + 1)].long()

    def held_out(self, part: str, length: int, most: int) -> Tensor:
        """At most so many windows ``(n, N + 1)`` that do not overlap, spread over a part."""
        data: Tensor = getattr(self, part)
        starts = np.arange(0, len(data) - length, length)
        chosen = starts[np.linspace(0, len(starts) - 1, min(most, len(starts))).astype(int)]
        return data[torch.from_numpy(chosen)[:, None] + torch.arange(length + 1)].long()


def standard_library() -> list[Path]:
    """The folder that holds the source of Python's standard library."""
    return [Path(sysconfig.get_paths()["stdlib"])]


def read_corpus(paths: Sequence[Path], pattern: str, length: int, most_bytes: int, seed: int) -> Corpus:
    """Read UTF-8 text files and split them, 80, 10 and 10 % of the bytes.

    Whole files go to one part, in an order drawn by the seed; with fewer than ten files each is split in itself. Copies
    of a file count once. Files of folders that are no UTF-8 text are left out and counted.

    Args:
        paths: Files, and folders whose files (also in folders below, but for installed packages) match the pattern.
        pattern: Such as ``*.txt``.
        length: N; each part must hold more bytes.
        most_bytes: Where there are more, files are left out.
        seed: Of the order.

    Raises:
        DataError: Nothing to read, a named file that is no UTF-8 text, or too little text; it names the file.
    """
    files = _files(paths, pattern)
    random.Random(seed).shuffle(files)
    parts: dict[str, list[bytes]] = {name: [] for name in _PARTS}
    total, read, skipped, seen = 0, 0, 0, set[bytes]()
    for file in files:
        if total >= most_bytes:
            break
        text = _text(file, named=file in paths)
        if text is None or (digest := sha256(text).digest()) in seen:
            skipped += 1
            continue
        seen.add(digest)
        read += 1
        if len(files) < _FEWEST_FILES:
            for name, piece in zip(_PARTS, _cut(text), strict=True):
                parts[name].append(piece)
        else:  # to the part that is furthest behind its share
            behind = max(_PARTS, key=lambda name: _PARTS[name] * (total + len(text)) - sum(map(len, parts[name])))
            parts[behind].append(text)
        total += len(text)
    joined = {name: b"\n".join(pieces)[: round(_PARTS[name] * most_bytes)] for name, pieces in parts.items()}
    for name, data in joined.items():
        if len(data) <= length + 1:
            raise DataError(
                f"{', '.join(map(str, paths))}: {total:,} bytes of text leave {len(data):,} for {name}; more than "
                f"{length + 1:,} are needed: give more text, or a smaller length"
            )
    train, validation, test = (torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in joined.values())
    return Corpus(train, validation, test, read, skipped)


def _files(paths: Sequence[Path], pattern: str) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            here = (file for file in sorted(path.rglob(pattern)) if "site-packages" not in file.parts)
            below = [file for file in here if file.is_file()]
            if not below:
                raise DataError(f"{path}: no file there matches {pattern}; name another pattern by --glob")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: not found; give text files or folders by --data")
    return list({file.resolve(): file for file in found}.values())


def _text(file: Path, named: bool) -> bytes | None:
    """None for a file of a folder that is no text."""
    try:
        data = file.read_bytes()
        data.decode("utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be read, {error.strerror}") from None
    except UnicodeDecodeError as error:
        if not named:
            return None
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line}: not UTF-8 text; convert it, or leave it out") from None
    return data


def _cut(text: bytes) -> list[bytes]:
    first, second = round(_PARTS["train"] * len(text)), round((1 - _PARTS["test"]) * len(text))
    return [text[:first], text[first:second], text[second:]]
