"""Optional packages, imported where they are needed."""

from importlib import import_module
from types import ModuleType

from elasticnas.errors import PluginError

__all__ = ["require_package"]


def require_package(module: str, extra: str, package: str | None = None) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: Name of the module.
        extra: The extra of elasticnas that installs the package.
        package: Name of the package, if it differs from the module's.

    Raises:
        PluginError: The package is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        name = package or module.partition(".")[0]
        raise PluginError(f"{name} is not installed; pip install 'elasticnas[{extra}]'") from None
