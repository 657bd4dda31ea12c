"""Settings by dotted name: changed, and compared with their defaults."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from elasticnas.errors import ConfigError, one_line

__all__ = ["differences", "updated"]

Settings = TypeVar("Settings", bound=BaseModel)


def updated(settings: Settings, changes: dict[str, Any]) -> Settings:
    """With changes by dotted name, such as ``{"model.layers": 2}``, or nested.

    Raises:
        ConfigError: An unknown name or a value that is not allowed, in one line.
    """
    data = settings.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        node: Any = data
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not (last in node or _takes_any_name(settings, path)):
            known = _names(settings.model_dump())
            near = [name for name in known if name.startswith(f"{key.partition('.')[0]}.")] or known
            raise ConfigError(f"unknown setting {key!r}; known are {', '.join(near)}")
        node[last] = node[last] | value if isinstance(value, dict) and isinstance(node[last], dict) else value
    try:
        return type(settings).model_validate(data)
    except ValidationError as error:
        raise ConfigError(one_line(type(settings), error)) from None


def _takes_any_name(settings: Any, path: list[str]) -> bool:
    """Whether a field is a mapping, such as the arguments of something that is chosen by name."""
    for part in path:
        settings = getattr(settings, part, None)
    return isinstance(settings, dict)


def differences(settings: BaseModel) -> dict[str, tuple[Any, Any]]:
    """What differs from the defaults, by dotted name: the value and the default, ``{"model.layers": (2, 4)}``."""
    return _differences(settings.model_dump(mode="json"), type(settings)().model_dump(mode="json"), "")


def _differences(given: dict[str, Any], default: dict[str, Any], prefix: str) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(default.get(key), dict):
            found |= _differences(value, default[key], f"{prefix}{key}.")
        elif value != default.get(key):
            found[prefix + key] = value, default.get(key)
    return found


def _names(data: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in data.items():
        found.extend(_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"])
    return found
