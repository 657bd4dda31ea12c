"""Line: one computation at several sizes."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """One computation at several sizes.

    Attributes:
        name: What is computed.
        size: Name of the size.
        sizes: At least two, ascending.
        make: Prepares the computation at a size; only the call of what it returns is timed.
        expected: Slope of the operations alone, as their number is known; None if it is not.
    """

    name: str
    size: str
    sizes: tuple[int, ...]
    make: Callable[[int], Callable[[], object]]
    expected: float | None = None
