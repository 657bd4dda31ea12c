"""Building a model for an architecture: only its shapes, or a skeleton that weights can be hung into."""

import copy
import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import UninitializedParameter

from elasticnas.errors import ConfigError
from elasticnas.space import Factory, Space

__all__ = ["Builder"]


class Builder:
    """A factory of plain models and the space whose architectures it is called with.

    Args:
        build: As :class:`~elasticnas.space.Factory` takes it.
        space: The search space.

    Raises:
        ConfigError: ``build`` takes neither sizes of the space nor its architecture.
    """

    def __init__(self, build: Callable[..., nn.Module], space: type[Space]) -> None:
        self.build, self.space, self.factory = build, space, Factory(build, space)
        self._built: dict[int, weakref.ref[Tensor]] = {}  # parameters of models that are still in use

    def model(self, arch: Any) -> nn.Module:
        """The real model.

        Raises:
            ConfigError: ``build`` fails, gives something else than a module, or one that shares parameters with
                another that it gave.
        """
        try:
            made = self.factory(arch)
        except Exception as error:  # whatever the caller's factory raises
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self.factory.call(arch)} fails ({type(error).__name__}: {reason}): fix it, or add a "
                f"rule to {self.space.__name__} that excludes this architecture"
            ) from error
        if not isinstance(made, nn.Module):
            raise ConfigError(f"{self.factory.call(arch)} gives {made!r:.100}: expected a torch.nn.Module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in made.parameters()):
            raise ConfigError(f"{self.factory.call(arch)} makes lazy parameters, which have no shape: give their sizes")
        self._refuse_shared(made, arch)
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
        # a copy, which finds in its memo what is on the meta device: what build has made is left as it is
        memo: dict[int, Any] = {id(p): _on_meta(p) for p in made.parameters() if not p.is_meta}
        return (copy.deepcopy(made, memo) if memo else made).eval()

    def _refuse_shared(self, made: nn.Module, arch: Any) -> None:
        self._built = {key: held for key, held in self._built.items() if held() is not None}
        for name, parameter in made.named_parameters():
            if (held := self._built.get(id(parameter))) is not None and held() is parameter:
                raise ConfigError(
                    f"{self.factory.call(arch)} gives a model whose {name} is the very parameter of one that it gave "
                    "before: each call must give an independent model, so build it anew (no cache, no module from "
                    "outside)"
                )
        self._built |= {id(parameter): weakref.ref(parameter) for parameter in made.parameters()}


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
