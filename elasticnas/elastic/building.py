"""Builder: build the model of an architecture, its shapes only, or a skeleton without weights."""

import copy
import random
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import UninitializedParameter

from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.kept import has_every_layer, keep_kinds, require_alike, same_outside
from elasticnas.elastic.kinds import is_settings, plain_settings
from elasticnas.errors import ArchitectureError, ConfigError
from elasticnas.space import Factory, Space

__all__ = ["Builder"]

_MAX_WHOLE = 4  # models with every layer that are kept to take layers from
_MAX_CONFIGS = 8  # a config that calls share is among the first ones


class _BuildError(ConfigError):
    """``build`` fails, perhaps on the meta device only."""


class Builder:
    """A factory of plain models and the space whose architectures it is called with.

    Args:
        build: The function, as for :class:`~elasticnas.space.Factory`.
        space: The search space.

    Attributes:
        layers: Stacks of which architectures keep chosen layers, once they are known.

    Raises:
        ConfigError: ``build`` accepts neither sizes of the space nor its architecture.
    """

    def __init__(self, build: Callable[..., nn.Module], space: type[Space]) -> None:
        self.build, self.space, self.factory = build, space, Factory(build, space)
        self.layers: ChosenLayers | None = None
        self._built: dict[int, weakref.ref[Tensor]] = {}  # parameters of models that still exist
        self._configs: dict[int, Any] = {}  # configs of models, which a later call may not change
        self._whole: OrderedDict[tuple[str, Any], nn.Module] = OrderedDict()

    def model(self, arch: Any) -> nn.Module:
        """Build the model.

        Raises:
            ConfigError: ``build`` fails, does not return a module, or returns one that shares parameters with an
                earlier one.
        """
        before = {key: plain_settings(held) for key, held in self._configs.items()}
        try:
            made = self.factory(arch)
        except Exception as error:  # whatever the caller's factory raises
            reason = " ".join(str(error).split())[:200]
            raise _BuildError(
                f"{self.factory.call(arch)} fails ({type(error).__name__}: {reason}): fix it, or add a "
                f"rule to {self.space.__name__} that excludes this architecture"
            ) from error
        if not isinstance(made, nn.Module):
            raise ConfigError(f"{self.factory.call(arch)} returns {made!r:.100}: expected a torch.nn.Module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in made.parameters()):
            raise ConfigError(f"{self.factory.call(arch)} has lazy parameters, which have no shape: give their sizes")
        self._require_new_parameters(made, arch)
        self._require_own_configs(made, before, arch)
        return made

    def complete(self, arch: Any) -> nn.Module:
        """Build the model with weights; chosen layers keep their kinds.

        Raises:
            ConfigError: As for :meth:`model`.
        """
        return self._with_kept_kinds(arch, self.model)

    def shapes(self, arch: Any) -> nn.Module:
        """Build the model on the meta device, or its skeleton if ``build`` fails there."""
        return self._with_kept_kinds(arch, self._shapes)

    def skeleton(self, arch: Any) -> nn.Module:
        """Build the model with parameters on the meta device and real buffers, in eval mode.

        Buffers that ``build`` computes (rotary tables, position ids) have their values; weights are not initialised.
        """
        return self._with_kept_kinds(arch, self._skeleton)

    def _shapes(self, arch: Any) -> nn.Module:
        with _preserved_random_state():
            try:
                with torch.device("meta"):
                    return self.model(arch)
            except _BuildError:
                return self._skeleton(arch)

    def _skeleton(self, arch: Any) -> nn.Module:
        with _preserved_random_state():
            try:
                with _parameters_on_meta():
                    made = self.model(arch)
            except _BuildError:
                made = self.model(arch)  # some initialisations fail on the meta device
            else:
                if _has_other_meta_tensors(made):  # made on the device of a weight, so without values
                    made = self.model(arch)
        # a copy with meta parameters from its memo, so that the model that build returned is not changed
        memo: dict[int, Any] = {id(p): _on_meta(p) for p in made.parameters() if not p.is_meta}
        return (copy.deepcopy(made, memo) if memo else made).eval()

    def _with_kept_kinds(self, arch: Any, make: Callable[[Any], nn.Module]) -> nn.Module:
        made, layers = make(arch), self.layers
        if layers is None or layers.all_kept(arch):
            return made
        call = self.factory.call(arch)
        try:
            wholes = list(layers.wholes(arch))
        except ArchitectureError:  # sizes that are no options, which a proof uses
            return made
        for whole, exact in wholes:
            model = make(whole) if make == self.model else self._cached(whole, make)
            if has_every_layer(model, layers) and (exact or same_outside(made, model, layers)):
                keep_kinds(made, model, layers, arch, call)
                return made
        require_alike(made, self._cached(self.space.largest(), self._shapes), layers, arch, call)
        return made

    def _cached(self, arch: Any, make: Callable[[Any], nn.Module]) -> nn.Module:
        key = (make.__name__, arch)
        if key not in self._whole:
            self._whole[key] = make(arch)
            if len(self._whole) > _MAX_WHOLE:
                self._whole.popitem(last=False)
        self._whole.move_to_end(key)
        return self._whole[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Builder":
        return self

    def _require_new_parameters(self, made: nn.Module, arch: Any) -> None:
        self._built = {key: held for key, held in self._built.items() if held() is not None}
        for name, parameter in made.named_parameters():
            if (held := self._built.get(id(parameter))) is not None and held() is parameter:
                raise ConfigError(
                    f"{self.factory.call(arch)} returns a model whose {name} is the same parameter as in an earlier "
                    "model: each call must return an independent model, so create all modules in it (no cache, no "
                    "module from outside)"
                )
        self._built |= {id(parameter): weakref.ref(parameter) for parameter in made.parameters()}

    def _require_own_configs(self, made: nn.Module, before: dict[int, Any], arch: Any) -> None:
        for key, settings in before.items():
            if plain_settings(self._configs[key]) != settings:
                raise ConfigError(
                    f"{self.factory.call(arch)} changes the {type(self._configs[key]).__name__} of a model that was "
                    "built before, which would then compute with other sizes: copy it in build, by copy.deepcopy"
                )
        for module in made.modules():
            for value in vars(module).values():
                if is_settings(value) and len(self._configs) < _MAX_CONFIGS:
                    self._configs.setdefault(id(value), value)


@contextmanager
def _preserved_random_state() -> Iterator[None]:
    """Restore the global random states, which must not depend on how often skeletons are built."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    # by id, with the original to keep the id in use: a shared parameter stays shared
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


def _has_other_meta_tensors(model: nn.Module) -> bool:
    """Return whether a buffer, or a tensor that is a plain attribute, is on the meta device."""
    attributes = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    return any(tensor.is_meta for tensor in (*model.buffers(), *attributes))
