"""Building a model for an architecture: only its shapes, or a skeleton that weights can be hung into."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import UninitializedParameter

from elasticnas.errors import ConfigError
from elasticnas.space import Space
from elasticnas.space.calling import names_taken

__all__ = ["Builder"]


class Builder:
    """A factory of plain models and the space whose architectures it is called with.

    Args:
        build: ``build(**sizes)``: its arguments are fields or properties of the space, or the architecture itself.
        space: The search space.
    """

    def __init__(self, build: Callable[..., nn.Module], space: type[Space]) -> None:
        self.build, self.space = build, space
        names = list(space.model_fields)
        self.taken = names_taken(build, names, [n for n in dir(space) if isinstance(getattr(space, n), property)])

    def model(self, arch: Any) -> nn.Module:
        """The real model.

        Raises:
            ConfigError: ``build`` fails, or gives something else than a module.
        """
        try:
            made = self.build(arch) if self.taken is None else self.build(**self._arguments(arch))
        except Exception as error:  # whatever the caller's factory raises
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self.call(arch)} fails ({type(error).__name__}: {reason}): mend it, or forbid the architecture by a "
                f"rule of {self.space.__name__}"
            ) from error
        if not isinstance(made, nn.Module):
            raise ConfigError(f"{self.call(arch)} gives {made!r:.100}: expected a torch.nn.Module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in made.parameters()):
            raise ConfigError(f"{self.call(arch)} makes lazy parameters, which have no shape: give their sizes")
        return made

    def shapes(self, arch: Any) -> nn.Module:
        """The model on the meta device; where ``build`` cannot run there, its skeleton."""
        with _undisturbed():
            try:
                with torch.device("meta"):
                    return self.model(arch)
            except ConfigError:
                return self.skeleton(arch)

    def skeleton(self, arch: Any) -> nn.Module:
        """The model with its parameters on the meta device and its buffers real, in eval mode.

        What ``build`` computes (rotary tables, position ids) is there; the weights are never initialised.
        """
        with _undisturbed():
            try:
                with _parameters_on_meta():
                    made = self.model(arch)
            except ConfigError:
                made = self.model(arch)  # some start values cannot be written on the meta device
        for module in made.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and not parameter.is_meta:
                    module._parameters[name] = _on_meta(parameter)
        return made.eval()

    def call(self, arch: Any) -> str:
        """The call of ``build`` for an architecture, for messages."""
        given = repr(arch) if self.taken is None else ", ".join(f"{k}={v!r}" for k, v in self._arguments(arch).items())
        return f"{getattr(self.build, '__name__', 'build')}({given})"

    def _arguments(self, arch: Any) -> dict[str, Any]:
        assert self.taken is not None
        return {name: getattr(arch, name) for name in self.taken}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The global generators draw as if nothing had been built: skeletons come and go with a cache."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    # keyed by identity, the original kept: a parameter that is shared stays shared
    moved: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}

    def move(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or isinstance(parameter, UninitializedParameter):
            return None
        if id(parameter) not in moved:
            moved[id(parameter)] = (parameter, _on_meta(parameter))
        return moved[id(parameter)][1]

    hook = register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        yield
    finally:
        hook.remove()


def _on_meta(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
