"""Presets: settings in YAML files."""

from importlib.resources import files
from typing import Any

import yaml
from pydantic import ValidationError

from easrec.config import Config
from elasticnas.errors import ConfigError, one_line

__all__ = ["load_preset", "preset_names"]


def preset_names() -> list[str]:
    """Return the names of the presets."""
    return sorted(item.name.removesuffix(".yaml") for item in files(__name__).iterdir() if item.name.endswith(".yaml"))


def load_preset(name: str, changes: dict[str, Any] | None = None) -> Config:
    """Load a preset, with changes by dotted name.

    Raises:
        ConfigError: The preset or a setting is unknown, or a value is not allowed.
    """
    if name not in preset_names():
        raise ConfigError(f"no preset {name!r}; the presets are {', '.join(preset_names())}")
    data = yaml.safe_load((files(__name__) / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        return Config.model_validate(data).updated(changes or {})
    except ValidationError as error:
        raise ConfigError(f"preset {name}: {one_line(Config, error)}") from None
