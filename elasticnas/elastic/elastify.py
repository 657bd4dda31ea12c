"""elastify: turn a factory of plain models into a supernet."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.calls import usage
from elasticnas.elastic.bypass import require_free_positions
from elasticnas.elastic.model import ElasticModel, M, require_memory, shell, wrap
from elasticnas.elastic.proving import prove_layouts
from elasticnas.elastic.weights import load_weights
from elasticnas.errors import ConfigError, short_repr
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["elastify"]


@usage("elasticnas.elastify(build, Space)")
def elastify(
    build: Callable[..., M],
    space: type[S],
    rules: Mapping[str, str] | None = None,
    weights: Mapping[str, Tensor] | nn.Module | None = None,
    example: object = None,
    assume: bool = False,
) -> ElasticModel[S, M]:
    """Make a supernet of an unchanged model; its axes are found by building the model with each size changed in turn.

    Args:
        build: ``build(**sizes) -> nn.Module``. Its arguments are fields or properties of the space; a single argument
            of another name gets the architecture. Each call must return an independent model.
        space: The search space.
        rules: Layouts by patterns of tensor names, such as ``{"*.qkv.weight": "(3 heads head_dim) hidden"}``: for
            each dimension a name, a number, a product with the outermost factor first, a sum of such terms, as in
            ``"(heads d + kv d + kv d) _"``, or ``_`` for its first units. A name is an axis of the space, or an
            integer attribute of the tensor's module or of a module around it; the size of one unknown name is
            inferred. Rules are rarely needed: the layout is found from the model's behaviour, and a rule that
            behaviour refutes is an error, but ``_``, which is taken as it is. Also chosen layers, by patterns of
            paths of layer stacks: ``{"encoder.layers": "keep"}`` for a field ``keep: Annotated[tuple[bool, ...],
            PerLayer(12)]``.
        weights: Weights of the largest model: a state dict, or a model. None keeps the initial weights of ``build``.
        example: An input of the model: a tensor, a tuple of arguments, a mapping of keyword arguments, or a function
            of the architecture that returns one. None makes one from the model's first layers or its Hugging Face
            config.
        assume: Whether a dimension for which the model's behaviour decides nothing keeps its first units.

    Returns:
        The supernet. Which units of a dimension a sub-network keeps is proven: a model of each smaller size must
        depend on its units as the largest model does on those that are kept. See :meth:`ElasticModel.coverage`.

    Raises:
        ConfigError: ``build`` fails, does not return an independent module, returns other shapes for the same sizes, or
            its model does not fit into memory; an example is needed, or the model does not run on it; or an argument
            is of another kind.
        InactiveChoiceError: A choice has no effect on the model.
        AxisError: A rule does not match or is refuted, code depends on the positions of chosen layers, no layout agrees
            with the model's behaviour, or nothing shows the layout of a dimension; the message has the rules to write.
        CheckpointError: The weights are not those of the largest model.
    """
    _require_arguments(build, space, weights)
    builder, probing = shell(build, space, rules or {})
    require_memory(builder, probing)
    prove_layouts(builder, probing, example, assume)
    model = cast(ElasticModel[S, M], wrap(None, builder, probing, rules or {}))
    require_free_positions(model, example)
    if weights is not None:
        load_weights(model.network, weights.state_dict() if isinstance(weights, nn.Module) else weights)
    return model


def _require_arguments(build: Any, space: Any, weights: Any) -> None:
    example = "elastify(build, Space), where build makes the model from the sizes of an architecture"
    if isinstance(build, nn.Module):
        raise ConfigError(f"build is a {type(build).__name__}, a model already: write {example}")
    if isinstance(build, type) and issubclass(build, Space):
        raise ConfigError(f"build is the space {build.__name__}, which comes second: write {example}")
    if not callable(build):
        raise ConfigError(f"build is {short_repr(build)}: write {example}")
    if isinstance(space, (Space, Axes)):
        owner = space.space if isinstance(space, Axes) else type(space)
        what = "axes" if isinstance(space, Axes) else "an architecture"
        raise ConfigError(f"space is {what}, {short_repr(space)}: give the class, elastify(build, {owner.__name__})")
    if not (isinstance(space, type) and issubclass(space, Space)):
        raise ConfigError(f"space is {short_repr(space)}: give a class of elasticnas.Space; write {example}")
    if not (weights is None or isinstance(weights, (Mapping, nn.Module))):
        raise ConfigError(f"weights={short_repr(weights)}: give a state dict, such as torch.load(path), or a model")
