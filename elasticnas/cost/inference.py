"""Inference: observe one inference pass of a network, without values if its code reads none."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from elasticnas.cost.copies import example_on_cpu, example_on_meta, on_cpu, on_meta
from elasticnas.cost.passes import Call, example_of, failure, run
from elasticnas.errors import ElasticNASError
from elasticnas.extraction import extract_unverified

__all__ = ["Inference", "Observer", "preserved_random_state"]

T = TypeVar("T")
Observer = Callable[[nn.Module, Any], AbstractContextManager[T]]
"""Takes the network and its example; returns a context around the pass, whose value is the observation."""


class Inference:
    """One inference pass of a network: on the meta device, or on the CPU if its code reads values of tensors.

    Attention masks, routing to experts and loops over lengths often read values. The pass on the CPU is of a copy with
    random parameters and the model's buffers, which is then freed. The model keeps its values, device and mode.

    Args:
        model: The model.
        example: As for :class:`~elasticnas.cost.Cost`.
        call: Runs a part of the network on the example; None runs the network.
        extract: Returns the plain network of an architecture.

    Attributes:
        reads_values: Whether the network had to run on the CPU.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Any,
        call: Call | None = None,
        extract: Callable[[nn.Module, Any], nn.Module] = extract_unverified,
    ) -> None:
        self._model, self._on_meta = model, on_meta(model)
        self._example, self._call, self._extract = example, call, extract
        self.reads_values = False

    def observe(self, arch: Any, observer: Observer[T], seed: int = 0) -> T:
        """Run one inference pass of an architecture and return what the observer saw.

        Args:
            arch: The architecture.
            observer: Makes a new observation; a failed pass on the meta device leaves one behind.
            seed: Seed of the parameters and of the forward's random numbers, if the pass is on the CPU.

        Raises:
            ConfigError: The network cannot run on the example.
        """
        example = example_of(self._example, arch)
        with preserved_random_state():
            if not self.reads_values:
                try:
                    return self._pass_on_meta(self._extract(self._on_meta, arch), example, observer)
                except ElasticNASError:
                    raise
                except Exception:  # code that reads values, or the model's own error, which then recurs on the CPU
                    pass
            observed = self._pass_on_cpu(on_cpu(self._extract(self._model, arch), seed), example, observer, seed)
        self.reads_values = True
        return observed

    def _pass_on_meta(self, network: nn.Module, example: Any, observer: Observer[T]) -> T:
        with torch.device("meta"):  # also for tensors that the forward creates without a device
            return self._pass(network, example_on_meta(example), observer)

    def _pass_on_cpu(self, network: nn.Module, example: Any, observer: Observer[T], seed: int) -> T:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed accelerators too
        try:
            with torch.device("cpu"):
                return self._pass(network, example_on_cpu(example), observer)
        except ElasticNASError:
            raise
        except Exception as error:  # whatever a forward raises
            raise failure(error, network) from error

    def _pass(self, network: nn.Module, example: Any, observer: Observer[T]) -> T:
        for module in network.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False  # they would count by the values of the padding mask
        # as on the meta device: fused attention would hide its scores from a count of memory
        plain_kernels = sdpa_kernel(SDPBackend.MATH)
        with torch.no_grad(), _uncompiled, plain_kernels, observer(network, example) as observed:
            run(network, example, self._call)
        return observed


class _Uncompiled:
    """Runs compiled functions as they are written: inside a dispatch mode torch does not compile.

    The setting is one of all threads: the first one changes it, and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._threads = threading.Lock(), 0
        self._stance: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> None:
        with self._lock:
            # nothing is compiled without this module, which takes seconds to import
            if not self._threads and "torch._dynamo" in sys.modules:
                self._stance = torch.compiler.set_stance("force_eager")
                self._stance.__enter__()
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                stance, self._stance = self._stance, nullcontext()
                stance.__exit__(None, None, None)


_uncompiled = _Uncompiled()


@contextmanager
def preserved_random_state(device: torch.device | None = None) -> Iterator[None]:
    """Restore the random states of the CPU and a device, which must not depend on how often a cost was computed."""
    states = random.getstate(), np.random.get_state()
    accelerators = [] if device is None or device.type in ("cpu", "meta") else [device]
    kind = accelerators[0].type if accelerators else "cuda"
    with torch.random.fork_rng(devices=accelerators, device_type=kind):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
