"""Search spaces: pydantic models whose fields are choices and whose instances are architectures."""

from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.space import Space, one_line

__all__ = ["PerLayer", "Range", "Space", "one_line"]
