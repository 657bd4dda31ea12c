"""Flops: count of the floating-point operations of the extracted network."""

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

from elasticnas.calls import usage
from elasticnas.cost.cost import Cost
from elasticnas.cost.counting import ProductCounter, VecdotAsProduct
from elasticnas.cost.meta import Call, MetaNetwork
from elasticnas.cost.shapes import ElementwiseShapes, MatmulShapes
from elasticnas.space.space import A

__all__ = ["Flops", "UncountedFlopsWarning", "count_flops"]


class UncountedFlopsWarning(UserWarning):
    """A network runs operations without a FLOP formula, which are not counted."""


class Flops(Cost[A]):
    """FLOPs of one inference pass on the example; one multiply-add is 2 FLOPs.

    The extracted network runs on the meta device, and each operation that sums products counts: products of matrices
    and vectors, convolutions, attention, recurrent layers, bilinear forms, weighted bags of embeddings. A complex
    multiply-add is 8 FLOPs.

    By convention these count 0: elementwise operations, including a separate product and sum (``(a * b).sum(-1)``;
    ``torch.linalg.vecdot(a, b)`` counts) and products without a sum (``torch.outer``, ``kron``, ``addr``);
    activations, norms, softmax, lookups, reductions, pooling, resampling, sorting, random draws. Softmax attention
    counts the full N x N, causal or padded too: ``4 N^2 k`` per head. Causal LinRec counts the chunks that run: with C
    positions in a chunk (at least 64 and k, at most N) and N' = N rounded up to whole chunks, ``4 N' k (k + C)`` per
    head.

    Any other operation is not counted: :attr:`uncounted` has its name, and its first use gives an
    :class:`UncountedFlopsWarning`. These are factorisations and inverses, Fourier transforms, pairwise distances, and
    operations of other libraries. To count one, register its formula with torch:
    ``torch.utils.flop_counter.register_flop_formula(torch.ops.library.name)``.

    Args:
        model: A model made of elastic primitives.
        example: As for :class:`~elasticnas.cost.Cost`; its batch size and length determine the count.
        call: Runs only a part: ``lambda network, x: network.encode(x)``. None runs the network.
    """

    unit = "FLOPs"

    @usage("Flops(model, example), with an input of the model such as torch.zeros(1, 64)")
    def __init__(self, model: nn.Module, example: object, call: Call | None = None) -> None:
        super().__init__(model, example)
        self._meta = MetaNetwork(model, example, call)
        self._uncounted: set[str] = set()

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the operations that were not counted so far, sorted."""
        return tuple(sorted(self._uncounted))

    def compute(self, arch: A) -> float:
        """Count the FLOPs of an architecture."""
        counter = _count(self._meta, self._meta.extract(arch), self._meta.example(arch))
        new = counter.uncounted - self._uncounted
        self._uncounted |= new
        _warn(type(self.model).__name__, new)
        return float(counter.flops)


def count_flops(network: nn.Module, example: object, call: Call | None = None) -> float:
    """Count the FLOPs of one inference pass of any plain network, as :class:`Flops` does.

    Operations without a formula are not counted; every call names them in an :class:`UncountedFlopsWarning`, which
    ``warnings.simplefilter("error", UncountedFlopsWarning)`` turns into an error.

    Args:
        network: The network; its weights are not read.
        example: A tensor, a tuple of arguments or a mapping of keyword arguments.
        call: Runs only a part; None runs the network.

    Raises:
        ConfigError: The network cannot run on the example.
    """
    meta = MetaNetwork(network, example, call)
    counter = _count(meta, meta.network, meta.example(None))
    _warn(type(network).__name__, counter.uncounted)
    return float(counter.flops)


def _count(meta: MetaNetwork, plain: nn.Module, example: Any) -> ProductCounter:
    counter = ProductCounter()
    with VecdotAsProduct(), MatmulShapes(), counter, ElementwiseShapes():
        meta.run(plain, example)
    return counter


def _warn(network: str, uncounted: Iterable[str]) -> None:
    if names := ", ".join(sorted(uncounted)):
        warnings.warn(
            f"{network}: the FLOPs of {names} are not known and not counted; register a formula with "
            "torch.utils.flop_counter.register_flop_formula, or accept a count without them",
            UncountedFlopsWarning,
            stacklevel=3,
        )
