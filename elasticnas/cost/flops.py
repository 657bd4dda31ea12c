"""Flops: count of the floating-point operations of the extracted network."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from elasticnas.calls import usage
from elasticnas.cost.cost import Cost
from elasticnas.cost.counting import FunctionCounter, ProductCounter
from elasticnas.cost.inference import Inference
from elasticnas.cost.passes import Call
from elasticnas.cost.shapes import ElementwiseShapes, MatmulShapes
from elasticnas.space.space import A

__all__ = ["Flops", "UncountedFlopsWarning", "ValueDependentFlopsWarning", "count_flops"]


class UncountedFlopsWarning(UserWarning):
    """A network runs operations without a FLOP formula, which are not counted."""


class ValueDependentFlopsWarning(UserWarning):
    """The FLOPs of a network depend on the values of its weights."""


class Flops(Cost[A]):
    """FLOPs of one inference pass on the example; one multiply-add is 2 FLOPs.

    The extracted network runs on the meta device. If its code reads values there, as for many attention masks and
    mixtures of experts, a copy with random weights runs on the CPU instead, which takes as long as a real pass; the
    count without a mask is the same. A mixture of experts counts each token at the experts that it is routed to. If
    the count depends on the weights, a :class:`ValueDependentFlopsWarning` says so.

    Each operation that sums products counts: products of matrices
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
        self._inference = Inference(model, self.example, call)
        self._uncounted: set[str] = set()
        self._compared = False

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the operations that were not counted so far, sorted."""
        return tuple(sorted(self._uncounted))

    def compute(self, arch: A) -> float:
        """Count the FLOPs of an architecture."""
        counter = self._inference.observe(arch, _counting)
        new = counter.uncounted - self._uncounted
        self._uncounted |= new
        _warn(type(self.model).__name__, new)
        if self._inference.reads_values and not self._compared:
            self._compared = True  # once: another pass takes as long
            _compare_draws(type(self.model).__name__, counter, self._inference, arch)
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
    inference = Inference(network, example, call, extract=lambda plain, _: plain)
    counter = inference.observe(None, _counting)
    _warn(type(network).__name__, counter.uncounted)
    if inference.reads_values:
        _compare_draws(type(network).__name__, counter, inference, None)
    return float(counter.flops)


@contextmanager
def _counting(network: nn.Module, example: Any) -> Iterator[ProductCounter]:
    counter = ProductCounter()
    with FunctionCounter(counter), MatmulShapes(), counter, ElementwiseShapes():
        yield counter


def _compare_draws(network: str, counter: ProductCounter, inference: Inference, arch: Any) -> None:
    """Warn if the FLOPs differ with other weights: tokens beyond the capacity of an expert, loops until convergence."""
    other = inference.observe(arch, _counting, seed=1).flops
    if other != counter.flops:
        warnings.warn(
            f"{network}: the FLOPs depend on the values of the weights, {counter.flops:,} and {other:,} with two "
            "random draws; the first is taken. If experts drop tokens beyond their capacity, raise it for the count",
            ValueDependentFlopsWarning,
            stacklevel=3,
        )


def _warn(network: str, uncounted: Iterable[str]) -> None:
    if names := ", ".join(sorted(uncounted)):
        warnings.warn(
            f"{network}: the FLOPs of {names} are not known and not counted; register a formula with "
            "torch.utils.flop_counter.register_flop_formula, or accept a count without them",
            UncountedFlopsWarning,
            stacklevel=3,
        )
