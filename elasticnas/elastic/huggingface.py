"""from_config: a build and a space for an unchanged Hugging Face model, from its config."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elasticnas.calls import usage
from elasticnas.elastic.config_space import Plan, space_of
from elasticnas.errors import ConfigError, describe_error, short_repr
from elasticnas.packages import require_package
from elasticnas.space import Space

__all__ = ["Family", "from_config"]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "key_groups": ("num_key_value_heads",),
    "inner": ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "hidden_dim"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "expert_inner": ("moe_intermediate_size",),
    "depth": ("num_hidden_layers",),
}
"""Names of a size in configs; ``attribute_map`` of a config leads from the first to the family's own."""

_FOLLOWING = ("word_embed_proj_dim", "embedding_size")  # hidden, where they are as large


@dataclass(frozen=True)
class Family:
    """The models of one config with other sizes: what :func:`elasticnas.elastify` needs.

    Attributes:
        config: The config of the largest model.
        model: The class that makes a model from a config.
        plan: The sizes that are chosen.
        stacks: Paths of the stacks of layers.
        fixed: Fields of the config that stay the same at every size, such as the width of a head.
    """

    config: Any
    model: Any
    plan: Plan
    stacks: tuple[str, ...]
    fixed: Mapping[str, int]

    @property
    def space(self) -> type[Space]:
        """The search space."""
        return space_of(self.plan)

    @property
    def rules(self) -> dict[str, str]:
        """The rules for :func:`elasticnas.elastify`: the stacks of which layers are kept."""
        return dict.fromkeys(self.stacks, "keep") if self.plan.keep else {}

    def build(self, arch: Any) -> nn.Module:
        """Build the model of an architecture, with new weights; each layer has its own widths.

        Raises:
            ConfigError: Widths of single layers change something outside of the layers.
        """
        sizes, kept = self.plan.sizes(arch), self.plan.kept(arch)
        whole = self._model(sizes[0], kept)
        for size in [each for number, each in enumerate(sizes) if each not in sizes[:number]][1:]:
            other = self._model(size, kept)
            if self._outside(other) != self._outside(whole):
                raise ConfigError(
                    f"{type(whole).__name__}: {', '.join(sorted(self.plan.per_layer))} of a layer changes other parts "
                    "of the model too: leave it out of per_layer"
                )
            for path in self.stacks:
                stack, source = whole.get_submodule(path), other.get_submodule(path)
                for number, own in enumerate(sizes):
                    if own == size:
                        stack._modules[str(number)] = source._modules[str(number)]
        return whole

    def _model(self, size: Mapping[str, int], kept: Sequence[int]) -> nn.Module:
        return _made(self.model, _resized(self.config, size, kept, self.plan.layers, self.fixed))

    def _outside(self, model: nn.Module) -> dict[str, tuple[int, ...]]:
        inside = tuple(f"{path}." for path in self.stacks)
        return {name: tuple(t.shape) for name, t in model.state_dict().items() if not name.startswith(inside)}


@usage("from_config(config, AutoModelForCausalLM, heads=[8, 4], inner=[512, 256], depth=[6, 4])")
def from_config(
    source: Any,
    model: Any = None,
    *,
    hidden: Sequence[int] = (),
    heads: Sequence[int] = (),
    key_groups: Sequence[int] = (),
    inner: Sequence[int] = (),
    experts: Sequence[int] = (),
    expert_inner: Sequence[int] = (),
    depth: Sequence[int] = (),
    keep_layers: bool = False,
    per_layer: Sequence[str] = (),
) -> Family:
    """Make a build and a space for a Hugging Face decoder or encoder from its config.

    The largest model is that of the config; each argument lists the further, smaller options of a size. Fewer heads
    keep their width: where it is ``hidden / heads``, hidden follows the number of heads.

    Args:
        source: A config, or a folder with ``config.json``.
        model: A model class or an auto class, such as ``AutoModelForCausalLM``; None: the class that the config
            names, or else ``AutoModel``.
        hidden: Width of the residual stream.
        heads: Number of attention heads.
        key_groups: Number of key-value heads.
        inner: Width of the feed-forward layers.
        experts: Number of experts.
        expert_inner: Width of an expert, where the config has one of its own.
        depth: Number of layers, of which the first are kept.
        keep_layers: Whether any layers may be kept, by a field ``keep``.
        per_layer: Names of sizes with a choice for each layer, such as ``["inner", "heads"]``.

    Returns:
        ``family`` for ``elastify(family.build, family.space, rules=family.rules)``.

    Raises:
        ConfigError: The config does not have a size, or cannot have this option of it.
        PluginError: transformers is not installed.
    """
    config, given = _config_of(source), {
        "hidden": hidden, "heads": heads, "key_groups": key_groups, "inner": inner, "experts": experts,
        "expert_inner": expert_inner, "depth": depth,
    }  # fmt: skip
    config = copy.deepcopy(config)
    _require_plain(config)
    options = {name: _options(config, name, values) for name, values in given.items() if len(values)}
    maker, layers = _maker(config, model), _value(config, "depth")
    if not (options or keep_layers):
        raise ConfigError("from_config got no size to choose: give options, such as heads=[8, 4] or depth=[6, 4]")
    if keep_layers and depth:
        raise ConfigError("keep_layers=True and depth both say how many layers are kept: give one of them")
    fixed = _head_width(config, maker, options) if {"heads", "hidden", "key_groups"} & options.keys() else {}
    coupled = _require_heads(config, options, fixed, per_layer)
    for name in per_layer:
        if name not in options or name == "depth":
            raise ConfigError(f"per_layer has {name!r}: name sizes with options, of {', '.join(options) or 'none'}")
        if name == "hidden":
            raise ConfigError("hidden is the width between layers, the same for all: leave it out of per_layer")
    stacks = _stacks(config, maker, layers) if keep_layers or per_layer else ()
    plan = Plan(tuple(options.items()), frozenset(per_layer), layers, keep_layers, coupled)
    return Family(config, maker, plan, stacks, fixed)


def _config_of(source: Any) -> Any:
    transformers = require_package("transformers", "huggingface")
    if isinstance(source, transformers.PreTrainedConfig):
        return source
    if isinstance(source, (str, Path)) and (Path(source) / "config.json").is_file():
        return transformers.AutoConfig.from_pretrained(source, local_files_only=True)
    raise ConfigError(
        f"from_config got {short_repr(source)}: give a config, such as AutoConfig.from_pretrained(name), or a folder "
        "with config.json"
    )


def _require_plain(config: Any) -> None:
    kind = type(config).__name__
    parts = sorted(name for name in getattr(config, "sub_configs", {}) if hasattr(config, name))
    if parts:
        raise ConfigError(f"{kind} joins the configs {', '.join(parts)}: give one of them, such as config.{parts[0]}")
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(f"{kind} is of an encoder and a decoder: write build and the space by hand for elastify")
    _value(config, "depth")


def _field(config: Any, size: str) -> str:
    """Return the name of a size in a config."""
    found = [name for name in _NAMES[size] if hasattr(config, name)]
    if not found:
        raise ConfigError(f"{type(config).__name__} has no {size} (looked for {', '.join(_NAMES[size])}): leave it out")
    return found[0]


def _value(config: Any, size: str) -> int:
    value = getattr(config, _field(config, size))
    if value is None and size == "inner":
        value = 4 * _value(config, "hidden")
    if value is None and size == "key_groups":
        value = _value(config, "heads")
    if type(value) is not int:
        raise ConfigError(f"{type(config).__name__} has {size}={value!r}: one number for all layers is needed")
    return value


def _options(config: Any, size: str, given: Sequence[int]) -> tuple[int, ...]:
    most = _value(config, size)
    for option in given:
        if type(option) is not int or not 0 < option <= most:
            raise ConfigError(f"{size}={list(given)}: give integers from 1 to {most}, the size in the config")
    used = getattr(config, "num_experts_per_tok", 1) or 1
    if size == "experts" and min(given) < used:
        raise ConfigError(f"experts={list(given)}: each token uses {used} of them, so that as many are needed")
    return tuple(sorted({most, *given}, reverse=True))


def _maker(config: Any, model: Any) -> Any:
    transformers = require_package("transformers", "huggingface")
    if model is None:
        named = (getattr(config, "architectures", None) or ["AutoModel"])[0]
        model = getattr(transformers, named, None)
    if not callable(getattr(model, "from_config", None)) and not isinstance(model, type):
        raise ConfigError(
            f"model={short_repr(model)}: give a model class or an auto class, such as AutoModelForCausalLM"
        )
    return model


def _made(maker: Any, config: Any) -> nn.Module:
    if hasattr(maker, "_model_mapping"):
        made: nn.Module = maker.from_config(config, dtype=torch.get_default_dtype())
    else:
        made = maker(config)
    return made


def _resized(config: Any, size: Mapping[str, int], kept: Sequence[int], layers: int, fixed: Mapping[str, int]) -> Any:
    """Return the config with other sizes; lists with an entry for each layer have those of the kept ones."""
    made = copy.deepcopy(config)
    before = _value(config, "hidden") if "hidden" in size else None
    for name, value in list(vars(config).items()):
        if isinstance(value, (list, tuple)) and len(value) == layers:
            setattr(made, name, type(value)(value[number] for number in kept))
    own = dict(size)
    if "heads" in own and _has_equal_groups(config):
        own.setdefault("key_groups", own["heads"])
    for name, value in {**fixed, **{_field(config, key): value for key, value in own.items()}}.items():
        setattr(made, name, value)
    for name in _FOLLOWING:
        if before is not None and getattr(config, name, None) == before:
            setattr(made, name, own["hidden"])
    setattr(made, _field(config, "depth"), len(kept))
    return made


def _has_equal_groups(config: Any) -> bool:
    """Return whether every head has keys of its own, in a family with key groups."""
    return hasattr(config, "num_key_value_heads") and _value(config, "key_groups") == _value(config, "heads")


def _head_width(config: Any, maker: Any, options: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the width of a head as a field that keeps it, if the model has one that is independent of hidden."""
    width = getattr(config, "head_dim", None)
    width = _value(config, "hidden") // _value(config, "heads") if width is None else width
    counts = []
    for fixed in ({"head_dim": width}, {"head_dim": 2 * width}):
        try:
            counts.append(_shapes(maker, _resized(config, {}, [0], _value(config, "depth"), fixed)))
        except Exception:  # the config has no such field, or its own check of it
            return {}
    return {"head_dim": width} if counts[0] != counts[1] else {}


def _shapes(maker: Any, config: Any) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        return [tuple(parameter.shape) for parameter in _made(maker, config).parameters()]


def _require_heads(
    config: Any, options: Mapping[str, Sequence[int]], fixed: Mapping[str, int], per_layer: Sequence[str]
) -> int | None:
    """Return the width of a head if hidden follows the number of heads."""
    if not {"hidden", "heads", "key_groups"} & options.keys():
        return None
    kind, hidden, heads = type(config).__name__, _value(config, "hidden"), _value(config, "heads")
    if "heads" in options and "key_groups" not in options and hasattr(config, "num_key_value_heads"):
        groups = _value(config, "key_groups")
        if groups != heads and any(option % groups for option in options["heads"]):
            raise ConfigError(f"heads={list(options['heads'])}: give multiples of the {groups} key groups")
    if "key_groups" in options and "heads" not in options and any(heads % option for option in options["key_groups"]):
        raise ConfigError(f"key_groups={list(options['key_groups'])}: give divisors of the {heads} heads")
    if fixed:
        return None
    if "heads" in options and "hidden" in options:
        raise ConfigError(
            f"{kind}: the width of a head is hidden / heads, so that both cannot be chosen freely: give heads, which "
            "hidden then follows, or hidden alone, at which all heads get narrower"
        )
    if "heads" in options and "heads" in per_layer:
        raise ConfigError(
            f"{kind}: the width of a head is hidden / heads, so that a layer with fewer heads would have wider ones: "
            "leave heads out of per_layer"
        )
    for option in options.get("hidden", ()):
        if option % heads:
            raise ConfigError(f"hidden={list(options['hidden'])}: give multiples of the {heads} heads")
    return hidden // heads if "heads" in options else None


def _stacks(config: Any, maker: Any, layers: int) -> tuple[str, ...]:
    """Return the outermost stacks that get shorter with the number of layers."""
    if layers < 2:
        raise ConfigError(f"{type(config).__name__} has {layers} layer: there is none to choose")
    full, short = (_modules(config, maker, layers, count) for count in (layers, layers - 1))
    found: list[str] = []
    for path, module in full.items():
        other = short.get(path)
        stack = isinstance(module, (nn.ModuleList, nn.Sequential)) and len(module) == layers
        nested = path.startswith(tuple(f"{each}." for each in found))
        if stack and not nested and other is not None and len(other._modules) == layers - 1:
            found.append(path)
    if not found:
        raise ConfigError(
            f"{type(config).__name__}: no stack of {layers} layers in the model gets shorter with fewer layers, so "
            "that layers cannot be chosen: leave out keep_layers and per_layer"
        )
    return tuple(found)


def _modules(config: Any, maker: Any, layers: int, count: int) -> dict[str, nn.Module]:
    try:
        with torch.device("meta"):
            return dict(_made(maker, _resized(config, {}, range(count), layers, {})).named_modules())
    except Exception as error:  # whatever the model's own code raises
        kind = type(config).__name__
        what = f"cannot have {count} of its {layers} layers" if count < layers else "makes no model"
        raise ConfigError(f"{kind} {what} ({describe_error(error)}): change the config") from error
