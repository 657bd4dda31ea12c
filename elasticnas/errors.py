"""Errors that users can cause; each message has the rule, the received values and a remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "ArchitectureError",
    "AxisError",
    "BudgetError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ElasticNASError",
    "ExtractionError",
    "InactiveChoiceError",
    "PluginError",
    "SearchError",
    "SpaceError",
    "UnknownNameError",
    "describe_error",
    "did_you_mean",
    "escaped",
    "one_line",
    "printable",
    "short_repr",
]


class ElasticNASError(Exception):
    """Base of all errors that users can cause; the CLI prints it as one line and exits with 1."""


class SpaceError(ElasticNASError):
    """A search space is declared wrongly."""


class ArchitectureError(ElasticNASError):
    """An architecture does not belong to the search space it is used with."""


class AxisError(ElasticNASError):
    """Axes, sizes and tensors do not fit together."""


class UnknownNameError(ElasticNASError, AttributeError):
    """A space, an architecture or axes have no attribute of this name."""


class InactiveChoiceError(ElasticNASError):
    """A choice of the space changes nothing in the model."""


class ExtractionError(ElasticNASError):
    """A network cannot be extracted, or does not compute the same as the supernet."""


class BudgetError(ElasticNASError):
    """No architecture of the space meets the budget."""


class CheckpointError(ElasticNASError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class ConfigError(ElasticNASError):
    """A setting is unknown or has a value that is not allowed."""


class DataError(ElasticNASError):
    """An input file or table is invalid; the message has the file and the row or column."""


class PluginError(ElasticNASError):
    """A plug-in or an optional package cannot be loaded."""


class SearchError(ElasticNASError):
    """A search is set up wrongly, or cannot give a result."""


def one_line(model: type, error: "ValidationError") -> str:
    """Return a pydantic error in one line: class, fields, rules, values."""
    from pydantic import BaseModel  # imported here so that the command line starts fast

    parts = []
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "rule"
        given = "" if isinstance(item["input"], (dict, BaseModel)) else f" (got {short_repr(item['input'])})"
        rule = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            rule = f"unknown{did_you_mean(str(item['loc'][-1]), _fields(model, item['loc'][:-1]))}"
        parts.append(f"{where}: {rule}{given}")
    return f"{model.__name__}: " + "; ".join(parts)


def _fields(model: Any, path: Iterable[Any]) -> list[str]:
    """Return the field names of a nested model; empty if the path does not lead to a model."""
    for part in path:
        model = getattr(getattr(model, "model_fields", {}).get(part), "annotation", None)
    return list(getattr(model, "model_fields", {}))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: similar names, or else all known names.

    Examples:
        >>> did_you_mean("stps", ["steps", "seed"])
        ", did you mean 'steps'?"
        >>> did_you_mean("lr", ["steps", "weight_lr"])
        ", did you mean 'weight_lr'?"
        >>> did_you_mean("epochs", ["steps", "seed"])
        '; known are seed, steps'
    """
    known = sorted(known)
    alike = get_close_matches(name, known, n=2) or [each for each in known if name in each.split("_")]
    if alike:
        return f", did you mean {' or '.join(map(repr, alike))}?"
    return f"; known are {', '.join(known)}" if known else ""


def printable(text: str, most: int = 300) -> str:
    """Return text in one line of limited length, with control characters escaped, so that a terminal shows it as is.

    Args:
        text: Any text, such as a message that quotes a file.
        most: Maximum length; the middle of a longer text is left out, because its end names the way out.

    Examples:
        >>> printable("no column 'a\\x1b[31m'")
        "no column 'a\\\\x1b[31m'"
    """
    line = " ".join((text if len(text) <= 100 * most else _ends(text, 100 * most)).split())
    line = escaped(line)
    return line if len(line) <= most else _ends(line, most)


def escaped(text: str) -> str:
    """Return text with characters escaped that are not printable: controls, text direction, lone surrogates.

    Examples:
        >>> escaped("a  b\\x1b[31m")
        'a  b\\\\x1b[31m'
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _ends(text: str, most: int) -> str:
    """Return the beginning and the last third of a text, with dots between them."""
    last = most // 3
    return f"{text[: most - last - 5]} ... {text[-last:]}"


def short_repr(value: object, most: int = 100) -> str:
    """Return the repr of a value in one line of limited length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def describe_error(error: BaseException) -> str:
    """Return type and message of a foreign error, in one line of limited length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
