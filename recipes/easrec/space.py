"""The search space of EASRec: candidate (sizes), number of layers, and optionally the kind of attention."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from easrec.config import ModelConfig
from easrec.wide_space import wide_space
from elasticnas.space import Space

__all__ = ["EASRecSpace", "space_for"]


@cache
def space_for(model: ModelConfig) -> type[Space]:
    """Return the space of a supernet; with ``space=wide``, see :func:`easrec.wide_space.wide_space`.

    The paper's space has ``candidate`` (alpha, shared by all layers) and ``depth`` (beta).

    With ``attention_choices`` it also has ``attention``, one kind for all layers; the largest network has the first
    kind. Hidden size, inner size and head width are properties derived from the candidate.
    """
    if model.space == "wide":
        return wide_space(model)
    sizes, heads = model.sizes(), model.heads

    def hidden(self: Any) -> int:
        """Hidden size of the candidate."""
        return int(sizes[self.candidate][0])

    def inner(self: Any) -> int:
        """Inner size of the candidate."""
        return int(sizes[self.candidate][1])

    def head_dim(self: Any) -> int:
        """Width of a head."""
        return int(sizes[self.candidate][0]) // heads

    fields: dict[str, Any] = {
        "candidate": Literal[tuple(range(len(sizes)))],
        "depth": Literal[tuple(range(1, model.layers + 1))],
    }
    if model.attention_choices is not None:
        fields["attention"] = Literal[model.attention_choices]
    namespace = {
        "__module__": __name__,
        # distinct from the module's EASRecSpace, which saved files would otherwise name
        "__qualname__": "space_for.<locals>.EASRecSpace",
        "__doc__": f"Candidates (hidden, inner): {', '.join(map(str, sizes))}.",
        "__annotations__": fields,
        "hidden": property(hidden),
        "inner": property(inner),
        "head_dim": property(head_dim),
    }
    space: Any = type("EASRecSpace", (Space,), namespace)
    space.pickle_factory = (space_for, (model,))
    made: type[Space] = space
    return made


if TYPE_CHECKING:  # what the spaces of all settings have in common

    class EASRecSpace(Space):
        """The fields and sizes of an architecture of EASRec."""

        candidate: int
        depth: int

        @property
        def hidden(self) -> int:
            """Hidden size."""

        @property
        def inner(self) -> int:
            """Inner size."""

        @property
        def head_dim(self) -> int:
            """Width of a head."""

else:
    EASRecSpace = space_for(ModelConfig())
