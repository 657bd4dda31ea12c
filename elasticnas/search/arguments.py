"""Checks of the arguments of searches and trainings, with one-line errors that show the correct call."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from elasticnas.errors import ConfigError, short_repr

__all__ = ["can_call", "require_function", "require_integer", "require_kind", "require_loss", "settings_or_default"]

Settings = TypeVar("Settings")


def require_kind(user: str, given: Any, kind: type, example: str) -> None:
    """Require an instance of a class.

    Args:
        user: What takes it, for the message.
        given: The value.
        kind: The class.
        example: Example of an instance, for the message.

    Raises:
        ConfigError: It is not an instance.
    """
    if not isinstance(given, kind):
        what = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise ConfigError(f"{user} takes a {kind.__name__}, got {what}: give {example}")


def settings_or_default(user: str, given: Any, kind: type[Settings]) -> Settings:
    """Return the settings, or the defaults for None.

    Raises:
        ConfigError: They are of another class.
    """
    if given is None:
        return kind()
    require_kind(user, given, kind, f"{kind.__name__}(steps=1000, ...)")
    assert isinstance(given, kind)
    return given


def require_integer(name: str, given: Any, least: int) -> None:
    """Require an integer of at least ``least``.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ConfigError(f"{name}={short_repr(given)}: an integer of at least {least} is needed")


def require_function(name: str, given: Any, *arguments: str) -> None:
    """Require a function with a number of positional arguments, or None.

    Args:
        name: Name of the function, for the message.
        given: The function, or None.
        *arguments: Names of its arguments, for the message.

    Raises:
        ConfigError: It is not a function, or cannot be called with these arguments.
    """
    if given is None:
        return
    call = f"{name}({', '.join(arguments)})"
    if not callable(given):
        raise ConfigError(f"{name}={short_repr(given)}: a function is needed, {call}")
    if not can_call(given, len(arguments)):
        raise ConfigError(
            f"{name}{inspect.signature(given)} cannot be called as {call}: give a function of these arguments"
        )


def require_loss(given: Any) -> None:
    """Require a function of a model and a batch, or None.

    Raises:
        ConfigError: It is something else, such as a loss of torch, which takes predictions and targets.
    """
    own = given if isinstance(given, type) or inspect.isroutine(given) else type(given)
    if isinstance(given, nn.modules.loss._Loss) or str(getattr(own, "__module__", "")).startswith("torch."):
        name = getattr(own, "__name__", "criterion")
        criterion = name if inspect.isroutine(given) else f"{name}()"
        raise ConfigError(
            f"loss={criterion} takes predictions and targets: loss(model, batch) is needed, such as lambda model, "
            f"batch: {criterion}(model(batch[0]), batch[1])"
        )
    require_function("loss", given, "model", "batch")


def can_call(function: Callable[..., Any], count: int = 0) -> bool:
    """Return whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a C function without a signature
        return True
    return True
