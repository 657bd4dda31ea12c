"""Drawing: a network layer by layer, with its sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Drawing"]


@dataclass(frozen=True)
class Drawing:
    """A network as blocks of layers; each size has a bar that shows its share of the largest network's.

    Attributes:
        title: Title above the drawing.
        sizes: Sizes by name; a sequence has one value per layer, None for a layer without this size; any other value
            is for all layers. Nested sizes are named by their path. If no size is a sequence, ``depth`` is the number
            of layers.
        largest: Sizes of the largest network in the same form; sizes that it lacks have no bar.
    """

    title: str
    sizes: Mapping[str, Any]
    largest: Mapping[str, Any]

    def layers(self) -> list[dict[str, tuple[Any, Any]]]:
        """Return for each layer all sizes, with the largest network's or None."""
        sizes, largest = _flat(self.sizes), _flat(self.largest)
        per_layer = {name: value for name, value in sizes.items() if _is_sequence(value)}
        count = max((len(value) for value in per_layer.values()), default=_depth(sizes))
        whole = [name for name in sizes if name not in per_layer and not (name == "depth" and count)]

        def of_layer(name: str, layer: int) -> tuple[Any, Any]:
            return _at(sizes[name], layer), _at(largest.get(name), layer)

        names = [*whole, *per_layer]
        return [
            {
                name: of_layer(name, layer)
                for name in names
                if name in whole or (layer < len(sizes[name]) and sizes[name][layer] is not None)
            }
            for layer in range(max(1, count))
        ]

    def html(self, name: str) -> str:
        """See :meth:`~elasticnas.report.html.parts.Part.html`."""
        layers = self.layers()
        of = max((len(v) for v in _flat(self.largest).values() if _is_sequence(v)), default=_depth(self.largest))
        said = f"{len(layers)} of up to {of} layers" if of > len(layers) else f"{len(layers)} layers"
        blocks = "".join(_block(number, sizes) for number, sizes in enumerate(layers, 1))
        head = f"<figcaption>{escape(self.title)}, {said if len(layers) > 1 or of > 1 else '1 layer'}</figcaption>"
        return (
            f'<figure class="network">{head}<div class="end">input</div>{blocks}<div class="end">output</div></figure>'
        )


def _block(number: int, sizes: Mapping[str, tuple[Any, Any]]) -> str:
    rows = "".join(_row(name, value, most) for name, (value, most) in sizes.items())
    return f'<div class="layer"><b>layer {number}</b>{rows}</div>'


def _row(name: str, value: Any, most: Any) -> str:
    if not (_is_number(value) and _is_number(most) and most > 0):
        return f'<div class="size"><span>{escape(name)} {escape(_said(value))}</span></div>'
    share = 100 * min(1.0, max(0.0, value / most))
    of = "" if value == most else f" of {most}"
    bar = f'<i style="width:{share:.4g}%"></i>'
    return f'<div class="size"><span>{escape(name)} <b>{value}</b>{of}</span><div class="bar">{bar}</div></div>'


def _flat(sizes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in sizes.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _depth(sizes: Mapping[str, Any]) -> int:
    value = sizes.get("depth", 0)
    return value if _is_number(value) and isinstance(value, int) else 0


def _at(value: Any, layer: int) -> Any:
    if not _is_sequence(value):
        return value
    return value[layer] if layer < len(value) else None


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
