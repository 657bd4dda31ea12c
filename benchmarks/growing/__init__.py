"""Computations whose time grows with one size, a file for each kind of size."""

from growing.line import Line
from growing.network import CANDIDATES, DEPTH, ITEMS, POSITIONS, USERS
from growing.space import LAYERS

__all__ = ["PARTS", "Line"]

PARTS: dict[str, tuple[Line, ...]] = {
    "users": USERS,
    "items": ITEMS,
    "positions": POSITIONS,
    "depth": DEPTH,
    "candidates": CANDIDATES,
    "layers-of-a-space": LAYERS,
}
