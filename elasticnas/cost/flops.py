"""Flops: floating-point operations of the extracted network, counted."""

from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from elasticnas.cost.cost import Cost
from elasticnas.cost.meta import Call, MetaNetwork
from elasticnas.cost.shapes import ElementwiseShapes, MatmulShapes

__all__ = ["Flops", "count_flops"]


class Flops(Cost):
    """FLOPs of one inference pass on the example; one multiply-add is 2 FLOPs.

    Counted, not estimated: the extracted network runs on the meta device under torch's own counter, which sees every
    matrix product and convolution. Additions, activations, norms, softmax and lookups count 0, as is usual.
    Softmax attention counts the full N x N, causal or padded too: ``4 N^2 k`` per head. Causal LinRec counts the
    chunks that run: with C positions in a chunk (at least 64 and k, at most N) and N' = N rounded up to whole
    chunks, ``4 N' k (k + C)`` per head.

    Args:
        model: A model made of elastic primitives.
        example: As for :class:`~elasticnas.cost.Cost`; its batch and length are what is counted.
        call: Runs only a part: ``lambda network, x: network.encode(x)``. None runs the network.
    """

    unit = "FLOPs"

    def __init__(self, model: nn.Module, example: Any, call: Call | None = None) -> None:
        super().__init__(model, example)
        self._meta = MetaNetwork(model, example, call)

    def compute(self, arch: Any) -> float:
        """FLOPs, counted anew."""
        return _counted(self._meta, self._meta.extract(arch), self._meta.example(arch))


def count_flops(network: nn.Module, example: Any, call: Call | None = None) -> float:
    """FLOPs of one inference pass of any plain network, counted as :class:`Flops` counts.

    Args:
        network: Its weights are not read.
        example: A tensor, a tuple of arguments or a mapping of keyword arguments.
        call: Runs only a part; None runs the network.

    Raises:
        ConfigError: The network cannot run on the example.
    """
    meta = MetaNetwork(network, example, call)
    return _counted(meta, meta.network, meta.example(None))


def _counted(meta: MetaNetwork, plain: nn.Module, example: Any) -> float:
    with MatmulShapes(), FlopCounterMode(display=False) as counter, ElementwiseShapes():
        meta.run(plain, example)
    return float(counter.get_total_flops())
