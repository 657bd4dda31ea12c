"""Inputs of each kind, drawn from a seed: valid ones, damaged ones, and what breaks parsers."""

import json
import random

__all__ = ["KINDS", "damaged", "table", "text", "yaml_value"]

KINDS = ("configs", "spaces", "models", "streams", "readers")

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


def table(rng: random.Random) -> tuple[bytes, int]:
    """Return a valid CSV file of interactions, and its number of rows."""
    names = [f"u{n}" for n in range(4)] + ["a b", "NA", "é", "1", "007", 'q"x', "x,y"]
    rows = [(rng.choice(names), f"i{rng.randrange(9)}", str(10**9 + n)) for n in range(rng.randrange(9, 40))]
    lines = ["user_id,item_id,timestamp"]
    lines += [",".join(_quoted(cell) for cell in row) for row in rows]
    return ("\n".join(lines) + "\n").encode(), len(rows)


def _quoted(cell: str) -> str:
    return json.dumps(cell, ensure_ascii=False).replace('\\"', '""') if set(cell) & set('",') else cell
