"""Coverage: what elastify found out about every tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from elasticnas.elastic.layouts import Layout, starred

__all__ = ["Coverage"]

_SIGN = {
    "fixed": "",
    "axis": " (open)",
    "size": " (open)",
    "rule": " (rule)",
    "proven": "",
    "no effect": " (no effect)",
}


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
        rows = [("tensor", "shape", "dimensions", "from")]
        for (name, shape, dimensions, source), members in _grouped(self.layouts).items():
            many = f" ({len(members)})" if len(members) > 1 else ""
            rows.append((f"{name}{many}", " x ".join(map(str, shape)) or "()", dimensions, source))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"computed for each architecture: {name}" for name in self.computed]
        lines += [f"depth: {line}" for line in self.depth]
        lines.append(
            f"{len(self.layouts)} tensors: {len(self.elastic)} elastic ({len(self.open)} open), {len(self.fixed)} fixed"
        )
        return "\n".join(lines)


def _grouped(layouts: Sequence[Layout]) -> dict[tuple[str, tuple[int, ...], str, str], list[Layout]]:
    """Group tensors that have the same layout and the same name apart from layer numbers."""
    groups: dict[tuple[str, tuple[int, ...], str, str], list[Layout]] = {}
    for layout in layouts:
        varies = any(d.how != "fixed" for d in layout.dimensions)
        dimensions = ", ".join(f"{d.label}{_SIGN[d.how]}" for d in layout.dimensions)
        source = layout.source if varies else "fixed: no choice changes it"
        groups.setdefault((starred(layout.name), layout.shape, dimensions, source), []).append(layout)
    return groups
