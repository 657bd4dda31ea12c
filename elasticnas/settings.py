"""Settings by dotted name: changed, compared with their defaults, and as YAML files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from elasticnas.errors import ConfigError, one_line

__all__ = ["as_yaml", "differences", "read_changes", "updated"]

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


def as_yaml(settings: BaseModel) -> str:
    """All settings as the YAML that :func:`read_changes` reads."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text


def read_changes(path: Path, settings: BaseModel) -> dict[str, Any]:
    """The settings that a YAML file names, nested or by dotted name: changes for :func:`updated`.

    Args:
        path: The file.
        settings: What is to be changed: says which values are settings by name, and which are mappings.

    Raises:
        ConfigError: The file cannot be read or is no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read, {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict | None):
        raise ConfigError(f"a mapping of settings is needed, such as 'seed: 1' (got {str(data)[:40]!r})")
    return dict(_flat(data or {}, settings, ""))


def _flat(data: dict[Any, Any], settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """By dotted name, down to where the settings have no further settings of their own."""
    for key, value in data.items():
        below = getattr(settings, str(key), None)
        if isinstance(value, dict) and isinstance(below, BaseModel):
            yield from _flat(value, below, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_config(settings: Settings, file: Path | None) -> Settings:
    """Settings, changed by what a YAML file holds; the same ones where there is no file.

    Raises:
        ConfigError: The file cannot be read, or holds an unknown setting or a value that is not allowed; in one line
            that names the file.
    """
    if file is None:
        return settings
    try:
        return updated(settings, read_changes(file, settings))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


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
