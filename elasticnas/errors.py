"""Errors that a caller can cause: each message gives the rule, the values received and the way out."""

from typing import TYPE_CHECKING

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
    "one_line",
    "said",
]


class ElasticNASError(Exception):
    """The base of every error that a caller can cause; the CLI prints it as one line and exits 1."""


class SpaceError(ElasticNASError):
    """A search space is declared in a way that cannot work."""


class ArchitectureError(ElasticNASError):
    """An architecture does not belong to the search space it is used with."""


class AxisError(ElasticNASError):
    """Axes, sizes and tensors do not fit together."""


class InactiveChoiceError(ElasticNASError):
    """A choice of the space changes nothing in the model."""


class ExtractionError(ElasticNASError):
    """An extracted network does not compute what the supernet computes."""


class BudgetError(ElasticNASError):
    """No architecture of the space meets the budget."""


class CheckpointError(ElasticNASError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class ConfigError(ElasticNASError):
    """A setting is unknown or has a value that is not allowed."""


class DataError(ElasticNASError):
    """An input file or table breaks a rule; the message names the file and the row or column."""


class PluginError(ElasticNASError):
    """A plug-in or an optional package cannot be loaded."""


class SearchError(ElasticNASError):
    """A search was set up, or has developed, in a way that cannot give a result."""


def one_line(model: type, error: "ValidationError") -> str:
    """A pydantic error in one line: the class that was asked for, each field, the rule, the value."""
    from pydantic import BaseModel  # the command line answers before it is there

    parts = []
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "rule"
        given = "" if isinstance(item["input"], (dict, BaseModel)) else f" (got {item['input']!r})"
        parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{given}")
    return f"{model.__name__}: " + "; ".join(parts)


def said(error: BaseException) -> str:
    """What an error of somebody else's code is and says, in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
