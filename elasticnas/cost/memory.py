"""Memory: peak bytes of one inference pass of the extracted network."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from elasticnas.calls import usage
from elasticnas.cost.cost import Cost
from elasticnas.cost.inference import Inference
from elasticnas.cost.passes import Call
from elasticnas.space.space import A

__all__ = ["Memory"]


class Memory(Cost[A]):
    """Bytes of parameters and buffers, plus the peak of live activations in one inference pass.

    Activations are the input and the outputs of operations; a view shares the storage of its base. Softmax attention
    holds its N x N scores, which fused kernels do not store. Workspace inside kernels and memory reserved by the
    allocator are not counted. The extracted network runs as for :class:`~elasticnas.cost.Flops`.

    Args:
        model: A model made of elastic primitives.
        example: As for :class:`~elasticnas.cost.Cost`.
        call: Runs only a part; None runs the network.
    """

    unit = "bytes"

    @usage("Memory(model, example), with an input of the model such as torch.zeros(1, 64)")
    def __init__(self, model: nn.Module, example: object, call: Call | None = None) -> None:
        super().__init__(model, example)
        self._inference = Inference(model, self.example, call)

    def compute(self, arch: A) -> float:
        """Count the bytes of an architecture."""
        return float(self._inference.observe(arch, _LiveBytes).total)


class _LiveBytes(TorchDispatchMode):
    """A dispatch mode that sums the bytes of live storages.

    Args:
        network: Its parameters and buffers are always live.
        example: Input of the pass.
    """

    supports_higher_order_operators = True

    def __init__(self, network: nn.Module, example: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        weights = [*network.parameters(), *network.buffers()]
        self._weights, self._peak, self._now = _distinct_bytes(weights), 0, 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in weights:
            self._seen.add(tensor.untyped_storage())
        self.add(tree_leaves(example))

    @property
    def total(self) -> int:
        """Bytes of parameters and buffers, plus the peak of the others."""
        return self._weights + self._peak

    def add(self, values: Iterable[Any]) -> None:
        """Count new storages, until nothing refers to them."""
        for value in values:
            if not isinstance(value, Tensor) or (storage := value.untyped_storage()) in self._seen:
                continue
            self._seen.add(storage)
            self._now += storage.nbytes()
            weakref.finalize(storage, self._free, storage.nbytes())
        self._peak = max(self._peak, self._now)

    def _free(self, count: int) -> None:
        self._now -= count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count its outputs."""
        out = func(*args, **(kwargs or {}))
        self.add(tree_leaves(out))
        return out


def _distinct_bytes(tensors: Iterable[Tensor]) -> int:
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())
