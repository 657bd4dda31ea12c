"""Records: typed, frozen results with a schema version, to be saved as JSON."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from elasticnas.errors import ConfigError, one_line
from elasticnas.files import CHECKSUM

__all__ = ["FORMAT", "Figures", "Record", "Result", "read_result"]

FORMAT: Literal[2] = 2
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # as pydantic reads them


class Record(BaseModel):
    """Frozen data without unknown keys; losses and metrics may be infinite or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="strings")


class Result(Record):
    """A record that is saved in its own file.

    Attributes:
        format: Version of the schema.
    """

    format: Literal[2] = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for strict JSON; NaN and infinity become ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``."""
        data: dict[str, Any] = _strict(self.model_dump(mode="json"))
        return data


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _figures(value: Any) -> Any:
    """Convert the texts for NaN and infinity of :meth:`Result.to_dict` back to numbers."""
    if isinstance(value, dict):
        return {name: _figures(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_figures(item) for item in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


Figures: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_figures)]
"""A record of a history: numbers by name, possibly nested."""


R = TypeVar("R", bound=Result)


def read_result(model: type[R], data: Any, what: str) -> R:
    """Return the result that :meth:`Result.to_dict` converted.

    Args:
        model: Class of the result.
        data: Plain data.
        what: Name for messages, such as ``"study result"``.

    Raises:
        ConfigError: The data has another format, or is damaged.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"damaged {what}: {type(data).__name__} {str(data)[:40]!r} is no object")
    if data.get("format") != FORMAT:
        raise ConfigError(
            f"a {what} of format {data.get('format', 1)!r}, and this version reads {FORMAT}: convert it with "
            "benchmarks/convert_results.py of the source repository"
        )
    try:
        # files of a study have a checksum
        return model.model_validate({name: value for name, value in data.items() if name != CHECKSUM})
    except ValidationError as error:
        plain = model.__pydantic_generic_metadata__["origin"] or model
        raise ConfigError(f"damaged {what}, {one_line(plain, error)}") from None
