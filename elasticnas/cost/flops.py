"""Flops: floating-point operations of the extracted network, counted."""

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
    """A network runs operations whose FLOPs are not known; the count leaves them out."""


class Flops(Cost[A]):
    """FLOPs of one inference pass on the example; one multiply-add is 2 FLOPs.

    Counted, not estimated: the extracted network runs on the meta device, and each operation that sums products
    counts: products of matrices and vectors, convolutions, attention, recurrent layers, bilinear forms, weighted bags
    of embeddings. A complex multiply-add is 8 FLOPs.

    By convention these count 0: elementwise operations, also a product and a sum written apart (``(a * b).sum(-1)``;
    ``torch.linalg.vecdot(a, b)`` counts) and products that sum nothing (``torch.outer``, ``kron``, ``addr``);
    activations, norms, softmax, lookups, reductions, pooling, resampling, sorting, random draws. Softmax attention
    counts the full N x N, causal or padded too: ``4 N^2 k`` per head. Causal LinRec counts the chunks that run: with C
    positions in a chunk (at least 64 and k, at most N) and N' = N rounded up to whole chunks, ``4 N' k (k + C)`` per
    head.

    Every other operation counts 0 as well, but never silently: it is named in :attr:`uncounted`, and an
    :class:`UncountedFlopsWarning` is given when it is first met. These are factorisations and inverses, Fourier
    transforms, pairwise distances, operations of other libraries. To count one, give torch its formula:
    ``torch.utils.flop_counter.register_flop_formula(torch.ops.library.name)``.

    Args:
        model: A model made of elastic primitives.
        example: As for :class:`~elasticnas.cost.Cost`; its batch and length are what is counted.
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
        """Names of the operations left out of the counts so far, sorted; empty where everything was counted."""
        return tuple(sorted(self._uncounted))

    def compute(self, arch: A) -> float:
        """FLOPs, counted anew."""
        counter = _counted(self._meta, self._meta.extract(arch), self._meta.example(arch))
        new = counter.uncounted - self._uncounted
        self._uncounted |= new
        _warn(type(self.model).__name__, new)
        return float(counter.flops)


def count_flops(network: nn.Module, example: object, call: Call | None = None) -> float:
    """FLOPs of one inference pass of any plain network, counted as :class:`Flops` counts.

    Operations whose FLOPs are not known are left out and named in an :class:`UncountedFlopsWarning` at every call;
    ``warnings.simplefilter("error", UncountedFlopsWarning)`` turns it into an error.

    Args:
        network: Its weights are not read.
        example: A tensor, a tuple of arguments or a mapping of keyword arguments.
        call: Runs only a part; None runs the network.

    Raises:
        ConfigError: The network cannot run on the example.
    """
    meta = MetaNetwork(network, example, call)
    counter = _counted(meta, meta.network, meta.example(None))
    _warn(type(network).__name__, counter.uncounted)
    return float(counter.flops)


def _counted(meta: MetaNetwork, plain: nn.Module, example: Any) -> ProductCounter:
    counter = ProductCounter()
    with VecdotAsProduct(), MatmulShapes(), counter, ElementwiseShapes():
        meta.run(plain, example)
    return counter


def _warn(network: str, uncounted: Iterable[str]) -> None:
    if names := ", ".join(sorted(uncounted)):
        warnings.warn(
            f"{network}: the FLOPs of {names} are not known and not counted; give a formula by "
            "torch.utils.flop_counter.register_flop_formula, or know that the count leaves them out",
            UncountedFlopsWarning,
            stacklevel=3,
        )
