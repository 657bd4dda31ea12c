"""Whether a metric is maximised or minimised."""

from typing import Literal, TypeAlias

__all__ = ["Direction"]

Direction: TypeAlias = Literal["maximise", "minimise"]
