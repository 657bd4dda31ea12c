"""Settings: change them by dotted name, compare them with their defaults, read and write YAML."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from elasticnas.errors import ConfigError, one_line
from elasticnas.files import read_text
from elasticnas.plain_yaml import parse_yaml

__all__ = ["as_yaml", "differences", "read_changes", "read_config", "updated"]

Settings = TypeVar("Settings", bound=BaseModel)


def updated(settings: Settings, changes: dict[str, Any]) -> Settings:
    """Return settings with changes by dotted name, such as ``{"model.layers": 2}``, or nested.

    Raises:
        ConfigError: A name is unknown or a value is not allowed.
    """
    data = settings.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        node: Any = data
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not (last in node or _takes_any_name(settings, path)):
            raise ConfigError(f"unknown setting {key!r}{_known(settings, key, node)}")
        node[last] = node[last] | value if isinstance(value, dict) and isinstance(node[last], dict) else value
    # fields that nobody has set stay unset, so that a recipe can tell a default from a choice
    chosen = settings.model_fields_set | {key.partition(".")[0] for key in changes}
    try:
        return type(settings).model_validate({name: value for name, value in data.items() if name in chosen})
    except ValidationError as error:
        raise ConfigError(one_line(type(settings), error)) from None


def _known(settings: BaseModel, key: str, group: Any) -> str:
    """Return the end of a message about an unknown name: similar names, else those of its group or all groups."""
    *path, last = key.split(".")
    siblings = [".".join([*path, name]) for name in group] if isinstance(group, dict) else []
    close = set(get_close_matches(last, [name.rpartition(".")[2] for name in siblings], n=2))
    near = [name for name in siblings if name.rpartition(".")[2] in close]
    near = near or [name for name in _names(settings.model_dump()) if name.rpartition(".")[2] == last]
    if near:
        return f", did you mean {' or '.join(map(repr, near))}?"
    if path and siblings:
        return f"; known are {', '.join(siblings)}"
    fields = ", ".join(type(settings).model_fields)
    return f"; the fields of {type(settings).__name__} are {fields} (the command config show prints every setting)"


def _takes_any_name(settings: Any, path: list[str]) -> bool:
    """Return whether a field is a mapping with free keys, such as arguments of a strategy."""
    for part in path:
        settings = getattr(settings, part, None)
    return isinstance(settings, dict)


def as_yaml(settings: BaseModel) -> str:
    """Return all settings as YAML for :func:`read_changes`."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text


def read_changes(path: Path, settings: BaseModel) -> dict[str, Any]:
    """Read changes for :func:`updated` from a YAML file with nested or dotted names.

    Args:
        path: The file.
        settings: The settings to change, to distinguish nested settings from values that are mappings.

    Raises:
        ConfigError: The file cannot be read or is not a mapping.
    """
    try:
        data = parse_yaml(read_text(path))
    except OSError as error:
        raise ConfigError(
            f"cannot be read, {error.strerror}; give a YAML file of settings, such as config show prints"
        ) from None
    except ValueError as error:
        raise ConfigError(f"not YAML ({error})") from None
    if not isinstance(data, dict | None):
        raise ConfigError(f"a mapping of settings is needed, such as 'seed: 1' (got {str(data)[:40]!r})")
    return dict(_flat(data or {}, settings, ""))


def _flat(data: dict[Any, Any], settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Flatten nested settings to dotted names; values that are mappings stay whole."""
    for key, value in data.items():
        below = getattr(settings, str(key), None)
        if isinstance(value, dict) and isinstance(below, BaseModel):
            yield from _flat(value, below, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_config(settings: Settings, file: Path | None) -> Settings:
    """Return settings with the changes in a YAML file; unchanged without a file.

    Raises:
        ConfigError: The file cannot be read, or has an unknown setting or a value that is not allowed.
    """
    if file is None:
        return settings
    try:
        return updated(settings, read_changes(file, settings))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def differences(settings: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Return values that differ from their defaults, with the default, by name: ``{"model.layers": (2, 4)}``."""
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
