"""Inputs drawn from a seed or from bytes: text, YAML, and damage to files."""

import random

__all__ = ["Drawn", "damaged", "json_value", "text", "yaml_value"]

_HOSTILE = (
    "[" * 3000,
    "{" * 3000,
    "9" * 5000,
    "2024-13-45",
    "1e-320",
    ".nan",
    ".inf",
    "-0",
    "99999999999999999999",
    "!!python/object/apply:os.system [true]",
    "&a [*a]",
    "\x00",
    "\x1b[31m",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "null",
    "~",
    "''",
    "{a: {b: {c: 1}}}",
    "../../etc/passwd",
    "[/b]",
    "true",
    "\u202e",
    "=1+1",
    "a\rb",
)
_LETTERS = "abcXYZ019 ,;:|\t\n\r\"'[]{}()<>#&*!%@`=+-_.\\/~éß漢\x00\x1b\x7f\u200b\u202e😀"


class Drawn(random.Random):
    """Random numbers that are the bytes of an input, so that a coverage-guided fuzzer steers what is drawn.

    Args:
        data: The bytes; when they are used up, all bits are 0.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def random(self) -> float:
        """Return a number from 0 to below 1."""
        return self.getrandbits(53) / 2**53

    def getrandbits(self, k: int) -> int:
        """Return the next bits, from whole bytes."""
        size = (k + 7) // 8
        part = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(part.ljust(size, b"\0"), "big") % 2**k


def text(rng: random.Random, most: int = 30) -> str:
    """Return text with quotes, separators, controls, or a value known to break parsers."""
    if rng.random() < 0.2:
        return rng.choice(_HOSTILE)
    return "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(most)))


def yaml_value(rng: random.Random, depth: int = 3) -> str:
    """Return YAML of a value in flow style."""
    kind = rng.randrange(7 if depth else 4)
    if kind < 2:
        return str(rng.choice([0, 1, 2, -1, 8, 64, 0.5, 10**9, 10**30, True, None, "none", "50%"]))
    if kind < 4:
        return text(rng)
    parts = [yaml_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 4:
        return "{" + ", ".join(f"{rng.choice('abc')}: {part}" for part in parts) + "}"
    return "[" + ", ".join(parts) + "]"


def json_value(rng: random.Random, depth: int = 2) -> object:
    """Return plain data."""
    kind = rng.randrange(4 if depth else 2)
    if kind == 0:
        return rng.choice([None, True, 0, -1, 1, 2**40, 10**30, 0.5, float("nan"), float("-inf"), "", "NaN", "x"])
    if kind == 1:
        return text(rng, 10)
    parts = [json_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return dict(zip("abcd", parts, strict=False)) if kind == 2 else parts


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Return data with a few bytes flipped, cut, repeated or replaced."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(found) + 1)
        how = rng.randrange(5)
        if how == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del found[at : at + rng.randrange(1, 20)]
        elif how == 2:
            found[at:at] = found[at : at + rng.randrange(1, 50)]
        elif how == 3:
            found[at:at] = text(rng).encode("utf-8", "replace")
        else:
            del found[at:]
    return bytes(found)
