"""Corpus: text files as bytes, split by file, and cut into windows."""

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
from elasticnas.files import read_bytes

__all__ = ["Corpus", "read_corpus", "standard_library"]

_PARTS = {"train": 0.8, "validation": 0.1, "test": 0.1}
_FEWEST_FILES = 10  # with fewer, each file is split, since a part of one file may not be representative


@dataclass(frozen=True)
class Corpus:
    """Training, validation and test text.

    Attributes:
        train: Training bytes, uint8 ``(n,)``.
        validation: Validation bytes, uint8 ``(n,)``.
        test: Test bytes, uint8 ``(n,)``.
        files: Number of files that were read.
        skipped: Number of files in folders that are not UTF-8, or are copies of another.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    files: int
    skipped: int = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the three parts."""
        digest = sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(part.numpy().tobytes() + b"|")
        return digest.hexdigest()

    def windows(self, length: int, batch: int, epoch: int, seed: int) -> Iterator[Tensor]:
        """Yield 100 batches ``(B, N + 1)`` of training windows at positions drawn from epoch and seed."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        starts = torch.randint(len(self.train) - length, (100, batch, 1), generator=generator)
        for rows in starts:
            yield self.train[rows + torch.arange(length + 1)].long()

    def held_out(self, part: str, length: int, most: int) -> Tensor:
        """Return at most ``most`` evenly spread windows of a part, ``(n, N + 1)``, with disjoint inputs."""
        data: Tensor = getattr(self, part)
        starts = np.arange(0, len(data) - length, length)
        chosen = starts[np.linspace(0, len(starts) - 1, min(most, len(starts))).astype(int)]
        return data[torch.from_numpy(chosen)[:, None] + torch.arange(length + 1)].long()


def standard_library() -> list[Path]:
    """Return the folder of Python's standard library."""
    return [Path(sysconfig.get_paths()["stdlib"])]


def read_corpus(paths: Sequence[Path], pattern: str, length: int, most_bytes: int, seed: int) -> Corpus:
    """Read UTF-8 text files and split them into 80, 10 and 10 % of the bytes.

    Each file goes to one part, in random order; with fewer than ten files, each file is split. Copies of a file are
    read once. Files in folders that are not UTF-8 are skipped and counted.

    Args:
        paths: Files, and folders that are searched recursively (except for installed packages).
        pattern: Pattern of the files in folders, such as ``*.txt``.
        length: N; each part must have more than N + 1 bytes.
        most_bytes: Maximum number of bytes; further files are not read.
        seed: Random seed of the order.

    Raises:
        DataError: There are no files, a file cannot be read or, if given by name, is not UTF-8, or there is too little
            text.
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
        else:  # to the part that is most below its share
            behind = max(_PARTS, key=lambda name: _PARTS[name] * (total + len(text)) - sum(map(len, parts[name])))
            parts[behind].append(text)
        total += len(text)
    joined = {name: b"\n".join(pieces)[: round(_PARTS[name] * most_bytes)] for name, pieces in parts.items()}
    for name, data in joined.items():
        if len(data) <= length + 1:
            raise DataError(
                f"{', '.join(map(str, paths))}: {total:,} bytes of text leave {len(data):,} for {name}; more than "
                f"{length + 1:,} are needed: give more text or a smaller length"
            )
    train, validation, test = (torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in joined.values())
    return Corpus(train, validation, test, read, skipped)


def _files(paths: Sequence[Path], pattern: str) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            here = (file for file in _matching(path, pattern) if "site-packages" not in file.parts)
            below = [file for file in here if file.is_file()]
            if not below:
                raise DataError(f"{path}: no file there matches {pattern}; name another pattern by --glob")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: not found; give text files or folders by --data")
    return list({file.resolve(): file for file in found}.values())


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.rglob(pattern))
    except (NotImplementedError, ValueError, IndexError) as error:  # of pathlib, for absolute and malformed patterns
        raise DataError(f"--glob {pattern}: {error}; give a pattern relative to the folder, such as *.txt") from None


def _text(file: Path, named: bool) -> bytes | None:
    """Return the content of a file; None if it is not UTF-8 and not given by name."""
    try:
        data = read_bytes(file)
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
