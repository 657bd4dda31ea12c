"""Results as files: typed, frozen, and with the version of their schema."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from elasticnas.errors import ConfigError, one_line

__all__ = ["FORMAT", "Record", "Result", "read_result"]

FORMAT: Literal[2] = 2


class Record(BaseModel):
    """Frozen data that refuses unknown keys; losses and metrics may be infinite or no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class Result(Record):
    """A record with a file of its own.

    Attributes:
        format: Version of the schema.
    """

    format: Literal[2] = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return self.model_dump(mode="json")


R = TypeVar("R", bound=Result)


def read_result(model: type[R], data: Any, what: str) -> R:
    """The result that :meth:`Result.to_dict` gave.

    Args:
        model: Its class.
        data: Plain data.
        what: What messages call it, such as ``"study result"``.

    Raises:
        ConfigError: Of another format, or damaged.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"damaged {what}: {type(data).__name__} {str(data)[:40]!r} is no object")
    if data.get("format") != FORMAT:
        raise ConfigError(
            f"a {what} of format {data.get('format', 1)!r}, and this version reads {FORMAT}: convert it with "
            "benchmarks/convert_results.py of the source repository"
        )
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        plain = model.__pydantic_generic_metadata__["origin"] or model
        raise ConfigError(f"damaged {what}, {one_line(plain, error)}") from None
