"""Search spaces: pydantic models whose fields are choices and whose instances are architectures."""

from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.loading import dump_space, load_space
from elasticnas.space.space import Space, one_line

__all__ = ["PerLayer", "Range", "Space", "dump_space", "load_space", "one_line"]
