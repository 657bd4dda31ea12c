"""Coverage: what elastify found, parameter by parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

from elasticnas.elastic.layouts import Layout, starred

__all__ = ["Coverage"]

_SIGN = {"fixed": "", "found": "", "assumed": " (assumed)", "rule": " (rule)"}


@dataclass(frozen=True)
class Coverage:
    """Every tensor of an elastified model, the axes of its dimensions, and what stayed fixed.

    Attributes:
        layouts: Of all tensors, by the order of the model.
        computed: Buffers that ``build`` computes for each architecture, rather than slices of the supernet's.
        depth: Choices that remove whole modules, in words.
    """

    layouts: tuple[Layout, ...]
    computed: tuple[str, ...]
    depth: tuple[str, ...]

    @property
    def elastic(self) -> tuple[Layout, ...]:
        """Tensors with a dimension that some architecture cuts."""
        return tuple(x for x in self.layouts if any(d.how != "fixed" for d in x.dimensions))

    @property
    def fixed(self) -> tuple[Layout, ...]:
        """Tensors of the same shape in every architecture: no size of the space moved them."""
        return tuple(x for x in self.layouts if x not in set(self.elastic))

    @property
    def assumed(self) -> tuple[Layout, ...]:
        """Tensors with a dimension that runs as a contiguous prefix because no rule says more."""
        cut = (layout for layout in self.layouts if layout.name not in self.computed)
        return tuple(x for x in cut if any(d.how == "assumed" for d in x.dimensions))

    def __getitem__(self, name: str) -> Layout:
        """The layout of a tensor, by its full name."""
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
            f"{len(self.layouts)} tensors: {len(self.elastic)} elastic ({len(self.assumed)} with an assumed layout), "
            f"{len(self.fixed)} fixed"
        )
        return "\n".join(lines)


def _grouped(layouts: Sequence[Layout]) -> dict[tuple[str, tuple[int, ...], str, str], list[Layout]]:
    """Tensors of the same name up to layer numbers, and the same layout, together."""
    groups: dict[tuple[str, tuple[int, ...], str, str], list[Layout]] = {}
    for layout in layouts:
        moved = any(d.how != "fixed" for d in layout.dimensions)
        dimensions = ", ".join(f"{d.label}{_SIGN[d.how]}" for d in layout.dimensions)
        source = layout.source if moved else "fixed: no choice moves it"
        groups.setdefault((starred(layout.name), layout.shape, dimensions, source), []).append(layout)
    return groups
