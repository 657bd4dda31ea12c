"""Optional packages: asked for where they are needed, before long work."""

from importlib import import_module
from types import ModuleType

from elasticnas.errors import PluginError

__all__ = ["require_package"]


def require_package(module: str, extra: str, package: str | None = None) -> ModuleType:
    """The module of an optional package.

    Args:
        module: To import.
        extra: Of elasticnas, which has the package.
        package: Its name where it is not the module's.

    Raises:
        PluginError: It is not installed; the message says how to.
    """
    try:
        return import_module(module)
    except ImportError:
        name = package or module.partition(".")[0]
        raise PluginError(f"{name} is not installed; pip install 'elasticnas[{extra}]'") from None
