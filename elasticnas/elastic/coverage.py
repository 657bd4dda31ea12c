"""Coverage: what elastify found out about every tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from elasticnas.elastic.layouts import Layout, layered

__all__ = ["Coverage"]

_SIGN = {
    "fixed": "",
    "axis": " (open)",
    "size": " (open)",
    "rule": " (rule)",
    "proven": "",
    "no effect": " (no effect)",
}
_WIDTH = 80


@dataclass(frozen=True)
class Coverage:
    """Every tensor of an elastified model, the axes of its dimensions, and the fixed ones.

    Attributes:
        layouts: The layouts of all tensors, in the order of the model.
        computed: Names of buffers that ``build`` computes for each architecture, which are not slices.
        depth: Choices that remove whole modules, as text.
    """

    layouts: tuple[Layout, ...]
    computed: tuple[str, ...]
    depth: tuple[str, ...]

    @property
    def elastic(self) -> tuple[Layout, ...]:
        """Tensors with a dimension that is smaller in some architecture."""
        return tuple(x for x in self.layouts if any(d.how != "fixed" for d in x.dimensions))

    @property
    def fixed(self) -> tuple[Layout, ...]:
        """Tensors with the same shape in every architecture."""
        return tuple(x for x in self.layouts if x not in set(self.elastic))

    @property
    def open(self) -> tuple[Layout, ...]:
        """Tensors with a dimension of which sub-networks keep the first units though nothing proves it."""
        sliced = (layout for layout in self.layouts if layout.name not in self.computed)
        return tuple(x for x in sliced if any(d.how in ("axis", "size") for d in x.dimensions))

    def __getitem__(self, name: str) -> Layout:
        """Return the layout of a tensor by its full name."""
        return next(layout for layout in self.layouts if layout.name == name)

    def __str__(self) -> str:
        rows = [("tensor", "shape", "dimensions")]
        for (name, shape, dimensions), members in _grouped(self.layouts, self.computed).items():
            many = f" ({len(members)})" if len(members) > 1 else ""
            rows.append((f"{name}{many}", " x ".join(map(str, shape)) or "()", dimensions))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if sum(widths) + 4 > _WIDTH:  # names on lines of their own
            lines = [line for name, *rest in rows for line in (name, f"    {'  '.join(rest)}")]
        else:
            lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"depth: {line}" for line in self.depth]
        lines.append(
            f"{len(self.layouts)} tensors: {len(self.elastic)} elastic ({len(self.open)} open), {len(self.fixed)} fixed"
        )
        return "\n".join(lines)


def _grouped(
    layouts: Sequence[Layout], computed: Sequence[str]
) -> dict[tuple[str, tuple[int, ...], str], list[Layout]]:
    """Group tensors that have the same layout and the same name apart from layer numbers."""
    groups: dict[tuple[str, tuple[int, ...], str], list[Layout]] = {}
    shared = layered(layout.name for layout in layouts)
    for layout in layouts:
        if layout.name in computed:
            text = "computed for each architecture"
        elif all(dimension.how == "fixed" for dimension in layout.dimensions):
            text = f"{', '.join(dimension.label for dimension in layout.dimensions)}, fixed"
        else:
            text = ", ".join(f"{d.label}{_SIGN[d.how]}{f' ({d.note})' if d.note else ''}" for d in layout.dimensions)
        groups.setdefault((shared[layout.name], layout.shape, text), []).append(layout)
    return groups
