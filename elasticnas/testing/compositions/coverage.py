"""traits: features of a composition, to report which ones were drawn."""

from collections.abc import Iterator

from elasticnas.testing.compositions.draw import Composition
from elasticnas.testing.compositions.parts import MAKERS, Part

__all__ = ["TRAITS", "traits"]

_NESTED = {
    "a mixture in a stack": ("stack", "mixture"),
    "a mixture in a stack in a mixture": ("mixture", "stack", "mixture"),
    "a shared module in a mixture": ("mixture", "shared module"),
    "a hook on a container": ("hooked", "container"),
    "parametrized layers in a mixture": ("mixture", "parametrized"),
}
_GROUPS = {
    "mixture": {"branches", "widths"},
    "container": {"stack", "branches", "widths", "skip"},
}

TRAITS = (
    *MAKERS,
    *_NESTED,
    "a subclass of a container",
    "attention by LinRec",
    "causal attention",
    "grouped queries",
    "heads or head_dim a product",
    "padded attention",
    "an inner size that is a product",
    "an inner size that is a sum",
    "a size of a nested space",
    "a size for each layer",
    "a size derived by a property",
    "a mixture between products",
    "a mixture between sums",
    "layers chosen one by one",
    "an option that no rule allows",
    "an option 0",
    "ids",
    "tied scores",
    "padding",
    "a class token",
    "as many samples as positions",
    "one sample",
    "one position",
)
"""All traits: the kinds of parts first."""


def traits(composition: Composition) -> set[str]:
    """Return the traits of a composition, a subset of :data:`TRAITS`."""
    part, options = composition.part, composition.space.choices()
    found = part.kinds() | {name for name, path in _NESTED.items() if _contains(part, path)}
    found |= {trait for each in _with_descendants(part) for trait in _traits_of(each)}
    allowed = composition.space.axes().named("odd").options
    conditions = {
        "an option that no rule allows": len(allowed) < len(options["odd"]),
        "an option 0": 0 in options["inner"] or 0 in options["depth"],
        "ids": composition.reads == "ids",
        "tied scores": composition.scored,
        "padding": composition.reads == "ids" and composition.padding_idx in (0, 2),
        "a class token": composition.classified,
        "as many samples as positions": composition.batch == composition.length,
        "one sample": composition.batch == 1,
        "one position": composition.length == 1,
    }
    return found | {trait for trait, holds in conditions.items() if holds}


def _with_descendants(part: Part) -> Iterator[Part]:
    yield part
    for each in part.parts:
        yield from _with_descendants(each)


def _contains(part: Part, path: tuple[str, ...]) -> bool:
    """Return whether parts of these kinds or groups are nested in this order, the first outermost."""
    if part.kind == path[0] or part.kind in _GROUPS.get(path[0], ()):
        path = path[1:]
    return not path or any(_contains(each, path) for each in part.parts)


def _traits_of(part: Part) -> Iterator[str]:
    options = part.options
    inner, form, depth = options.get("inner", ""), options.get("form"), options.get("depth")
    conditions = {
        "a subclass of a container": options.get("subclass", False),
        "attention by LinRec": options.get("kind") == "linrec",
        "causal attention": options.get("causal", False),
        "grouped queries": options.get("kv_heads") not in (None, "heads"),
        "heads or head_dim a product": "*" in options.get("heads", "") + options.get("head_dim", ""),
        "padded attention": options.get("padded", False),
        "an inner size that is a product": "*" in inner,
        "an inner size that is a sum": "+" in inner,
        "a size of a nested space": inner.startswith("part.") or str(options.get("choice")).startswith("part."),
        "a size for each layer": inner.startswith(("tied.", "widths.")),
        "a size derived by a property": inner in ("double", "across"),
        "a mixture between products": form == "product",
        "a mixture between sums": form == "sum",
        "layers chosen one by one": isinstance(depth, tuple),
    }
    return (trait for trait, holds in conditions.items() if holds)
