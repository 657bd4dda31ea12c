"""Refusals: the errors of a proof, each with its way out."""

from collections.abc import Iterable, Mapping, Sequence

from elasticnas.elastic.layouts import Layout, Rule, as_rules

__all__ = ["ambiguous", "irreconcilable", "refuted", "undecided", "unused"]

_MOST_NAMED = 6  # dimensions named in a message


def undecided(names: Sequence[str]) -> str:
    """Return the error for dimensions that behaviour does not decide."""
    return (
        f"nothing in the model's behaviour shows which units {_listed(names)} keep when they get smaller: give "
        "rules with their layouts, such as '(heads d) _', with '_' for a dimension that keeps its first units, or "
        "assume=True to keep the first units of all of them"
    )


def unused(names: Sequence[str]) -> str:
    """Return the error for dimensions of tensors that do not affect the output of the example."""
    return (
        f"{_listed(names)} have no effect on the output of the example, so that nothing shows which units they keep: "
        "give elastify(..., example=...) with inputs that use them, such as several different positions and all "
        "optional arguments, or rules with their layouts, or assume=True to keep the first units of all of them"
    )


def irreconcilable(names: Sequence[str], large: str, small: str) -> str:
    """Return the error for a model that is no sub-network of another one; both are calls of the build."""
    return (
        f"{small} does not compute on units of {large}: no choice of units of {_listed(names)} makes them depend on "
        "each other as in the smaller model, as with fewer but wider heads; change the options of the space, tie "
        "sizes by a rule or property of the space, or give rules with '_' for these tensors to keep their first "
        "units all the same"
    )


def ambiguous(names: Iterable[str], small: str) -> str:
    """Return the error for dimensions of which several layouts agree with behaviour."""
    return (
        f"several layouts of {_listed(sorted(set(names)))} agree with the behaviour of {small}, and none keeps the "
        "first units of each of its parts: give rules with their layouts, such as '(heads (2 half + rest)) _' for "
        "heads that are partly rotated"
    )


def refuted(
    names: Sequence[str], rules: Sequence[Rule], small: str, proven: Sequence[Layout], layered: Mapping[str, str]
) -> str:
    """Return the error for rules that behaviour refutes.

    Args:
        names: The dimensions that depend on each other in another way than by the rules.
        rules: The rules.
        small: The call of the build that refutes them.
        proven: The layouts that behaviour proves.
        layered: The name that each tensor shares with those of other layers.
    """
    given, texts = ", ".join(f"{rule.pattern!r}: {rule.text!r}" for rule in rules), _rules_of(proven, layered)
    way = f"give {as_rules(texts)}" if texts else "leave the rules out"
    return (
        f"the rules {{{given}}} are refuted by the model's behaviour: with them, the units of {_listed(names)} depend "
        f"on each other in another way than in {small}; {way}, which behaviour proves"
    )


def _rules_of(layouts: Iterable[Layout], layered: Mapping[str, str]) -> dict[str, str]:
    """Return the rules that say what is proven, without those that follow from others."""
    texts = {
        layered[layout.name]: " ".join(f"({d.expression.text()})" if d.expression else "_" for d in layout.dimensions)
        for layout in layouts
        if any(d.expression is not None for d in layout.dimensions)
    }
    weights = {name.removesuffix("weight") for name in texts if name.endswith("weight")}
    return {
        name: text
        for name, text in texts.items()
        if not (name.endswith(".bias") and name.removesuffix("bias") in weights)
    }


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"
