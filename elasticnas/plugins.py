"""Plug-ins: spaces, strategies and recipes that installed packages provide through entry points."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from elasticnas.errors import PluginError

__all__ = [
    "BUILT_IN",
    "RECIPES",
    "SPACES",
    "STRATEGIES",
    "Plugin",
    "Recipe",
    "discover",
    "listed",
    "load_plugin",
    "plugin_names",
]

SPACES = "elasticnas.spaces"
RECIPES = "elasticnas.recipes"
STRATEGIES = "elasticnas.strategies"

BUILT_IN = ("space", "plugins", "compare")
"""Commands of elasticnas itself, whose names recipes must not have."""


@runtime_checkable
class Recipe(Protocol):
    """The object that an entry point of ``elasticnas.recipes`` refers to."""

    name: str
    summary: str
    commands: Any
    """A ``typer.Typer``, added to the command line as ``elasticnas <name>``."""


@dataclass(frozen=True)
class Plugin:
    """An entry point, with the loaded object or the reason why it cannot be loaded."""

    name: str
    group: str
    distribution: str
    target: str
    loaded: Any = None
    error: str | None = None

    def require(self) -> Any:
        """Return the loaded object.

        Raises:
            PluginError: It cannot be loaded.
        """
        if self.error is not None:
            raise PluginError(f"plug-in {self.name} ({self.target}): {self.error}")
        return self.loaded


def discover(group: str) -> list[Plugin]:
    """Return the plug-ins of a group, by name; one that cannot be loaded gives a warning."""
    plugins = [_load(point, group, conflict) for point, conflict in _points(group)]
    for plugin in plugins:
        if plugin.error is not None:
            warnings.warn(f"plug-in {plugin.name} ({plugin.target}) is skipped: {plugin.error}", stacklevel=2)
    return plugins


def listed() -> list[tuple[str, str | None]]:
    """Return name and summary of every recipe, by name; the summary is None if it cannot be loaded.

    Recipes with the name of a built-in command are left out. The commands are not accessed, as that may import large
    packages.
    """
    found = []
    for point, conflict in _points(RECIPES):
        if point.name in BUILT_IN:
            continue
        try:
            summary = None if conflict else str(point.load().summary)
        except Exception:  # a plug-in can raise anything; the command of this name reports the reason
            summary = None
        found.append((point.name, summary))
    return found


def load_plugin(group: str, name: str) -> Any:
    """Return the object of a plug-in by name.

    Raises:
        PluginError: There is no such plug-in, or it cannot be loaded.
    """
    points = entry_points(group=group, name=name)
    if not points:
        known = plugin_names(group)
        raise PluginError(f"no plug-in {name!r} in {group}; installed are {', '.join(known) or 'none'}")
    return _load(next(iter(points)), group, len(points) > 1).require()


def _points(group: str) -> list[tuple[EntryPoint, bool]]:
    """Return the entry points of a group by name, and whether another one has the same name."""
    found = entry_points(group=group)
    names = [point.name for point in found]
    ordered = sorted(found, key=lambda point: (point.name, point.value))
    return [(point, names.count(point.name) > 1) for point in ordered]


def _load(point: EntryPoint, group: str, conflict: bool) -> Plugin:
    distribution = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown"
    plugin = Plugin(point.name, group, distribution, point.value)
    if group == RECIPES and point.name in BUILT_IN:
        reason = f"{point.name} is a command of elasticnas itself; rename the entry point"
        return Plugin(**{**vars(plugin), "error": reason})
    if conflict:
        return Plugin(**{**vars(plugin), "error": "two plug-ins have this name; uninstall one"})
    try:
        loaded = point.load()
        is_valid, expected = _KINDS[group]
        valid = is_valid(loaded)
    except Exception as error:  # a plug-in can raise anything, which must not affect the others
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Plugin(**{**vars(plugin), "error": reason})
    if not valid:
        return Plugin(**{**vars(plugin), "error": f"expected {expected}, found {loaded!r}"})
    return Plugin(**{**vars(plugin), "loaded": loaded})


def plugin_names(group: str) -> list[str]:
    """Return the names of a group's installed plug-ins."""
    return sorted({point.name for point in entry_points(group=group)})


def _is_recipe(loaded: Any) -> bool:
    # access the commands: they may be created lazily, and fail
    return isinstance(loaded, Recipe) and loaded.commands is not None


def _is_space(loaded: Any) -> bool:
    from elasticnas.space import Space  # imports torch, which listing recipes does not need

    return isinstance(loaded, type) and issubclass(loaded, Space)


def _is_strategy(loaded: Any) -> bool:
    from elasticnas.search import Strategy

    return isinstance(loaded, type) and issubclass(loaded, Strategy)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    RECIPES: (_is_recipe, "name, summary and commands"),
    SPACES: (_is_space, "a Space class"),
    STRATEGIES: (_is_strategy, "a Strategy class"),
}
