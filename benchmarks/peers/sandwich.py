"""A sandwich step, the same for every library; it imports torch only.

Architectures are ``{"heads": h, "inner": D, "depth": L}``; a head is 64 wide, and the hidden size 64 h.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["HEAD", "Sandwich"]

HEAD = 64

Arch = dict[str, int]


class Sandwich:
    """Steps of one supernet, each on several of its sub-networks.

    Args:
        network: The supernet.
        logits: Returns logits ``(B, N, V)`` of a sub-network, given its architecture and ids ``(B, N)``.
        described: Facts for the page, such as versions.
        vocabulary: Number of tokens V.
        batch: Sequences B and positions N.
        threads: Number of torch threads.
    """

    def __init__(
        self,
        network: nn.Module,
        logits: Callable[[Arch, Tensor], Tensor],
        described: dict[str, Any],
        vocabulary: int,
        batch: tuple[int, int],
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.network, self.logits, self.described = network, logits, described
        self.vocabulary, self.batch = vocabulary, batch
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def describe(self) -> dict[str, Any]:
        """Return what the page says about this side."""
        return {**self.described, "torch": torch.__version__, "threads": torch.get_num_threads()}

    def step(self, archs: list[Arch], seed: int) -> dict[str, Any]:
        """Time forward, cross entropy and backward of each sub-network, then one AdamW step on the sum of gradients."""
        ids, targets = self._tokens(seed)
        started = time.perf_counter()
        ends, losses = [], []
        for arch in archs:
            loss = self._loss(arch, ids, targets)
            loss.backward()
            losses.append(loss)
            ends.append(time.perf_counter())
        self.optimizer.step()
        self.optimizer.zero_grad()
        ended = time.perf_counter()
        return {
            "seconds": ended - started,
            "parts": [end - begun for begun, end in zip([started, *ends], [*ends, ended], strict=False)],
            "losses": [float(loss.detach()) for loss in losses],
        }

    def count(self, arch: Arch) -> dict[str, int]:
        """Count FLOPs of a sub-network's forward and backward pass, and the parameters to which it gives a gradient."""
        ids, targets = self._tokens(0)
        self.optimizer.zero_grad()
        with FlopCounterMode(display=False) as counter:
            self._loss(arch, ids, targets).backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        found = {
            "flops": counter.get_total_flops(),
            "parameters": sum(int(gradient.count_nonzero()) for gradient in gradients),
        }
        self.optimizer.zero_grad()
        return found

    def _tokens(self, seed: int) -> tuple[Tensor, Tensor]:
        sequences, length = self.batch
        drawn = torch.randint(self.vocabulary, (sequences, length + 1), generator=torch.Generator().manual_seed(seed))
        return drawn[:, :-1], drawn[:, 1:].flatten()

    def _loss(self, arch: Arch, ids: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(arch, ids).flatten(0, 1), targets)
