"""Search spaces: pydantic models whose fields are choices and whose instances are architectures."""

from elasticnas.space.derived import TooManyCombinations
from elasticnas.space.factory import Factory
from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.info import SpaceInfo
from elasticnas.space.loading import dump_space, load_space
from elasticnas.space.space import SizesOf, Space

__all__ = [
    "Factory",
    "PerLayer",
    "Range",
    "SizesOf",
    "Space",
    "SpaceInfo",
    "TooManyCombinations",
    "dump_space",
    "load_space",
]
