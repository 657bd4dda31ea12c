"""BinaryPath: the binary gates of ProxylessNAS."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from elasticnas.search.relaxation import Relaxation

__all__ = ["BinaryPath"]

# Gate of the path that is not active. Units with a gate of exactly 0 would be dead and get no gradient; this value
# changes the output by rounding only and gives the dL/dg_j of Eq. 4. Half precision can represent it.
_SMALL_GATE = 2.0**-20


class BinaryPath(Relaxation):
    """Binary gates of ProxylessNAS.

    A weight step runs one architecture, sliced; each option is drawn from ``softmax(logits)``. An architecture step
    draws two options of every choice without replacement. One of the two, drawn from their softmax p, has a gate of
    about 1, the other one of 2^-20. With the gates g, the gradient of a logit is
    ``sum_j dL/dg_j p_j (delta_ij - p_i)``. After the step, both logits are shifted by the same amount so that the
    probabilities of all other options do not change.

    *Ours*: Eq. 4 holds if gates multiply outputs, as those of a Mixture and of depth do. The gate of a width is before
    the activation: there ``dL/dg`` is the gradient of the mask.

    The expected cost is over ``softmax(logits)`` of all options, differentiable in the logits of the two.

    Source: ProxylessNAS, arXiv:1812.00332v2, Eq. 2 to 4 and Section 3.2.1; expected cost: Section 3.3.1.
    """

    draws = True
    one_hot = True

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return gates ``(options,)``: about 1 and 2^-20 for the two options, 0 for the others."""
        p = logits.detach().softmax(-1)
        possible = int((p > 0).sum())
        if possible < 2:
            return _one_hot(p.argmax(), logits)
        pair = _draw(p, 2, generator)
        pair_p = logits[pair].softmax(-1)
        gates = torch.full_like(pair_p, _SMALL_GATE).detach()
        gates[_draw(pair_p.detach(), 1, generator)] = 1 - _SMALL_GATE
        # the difference is exactly 0; it makes dL/dg the gradient of pair_p
        return torch.zeros_like(logits).index_put((pair,), gates + (pair_p - pair_p.detach()))

    def path(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Draw a one-hot vector ``(options,)``, without gradients."""
        return _one_hot(_draw(logits.detach().softmax(-1), 1, generator)[0], logits)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Return ``softmax(logits)``, differentiable in the logits of the two paths; their sum is constant."""
        p, pair = logits.detach().softmax(-1), drawn > 0
        return p.masked_scatter(pair, p[pair].sum() * logits[pair].softmax(-1))

    def after_step(self, logits: Tensor, before: Tensor, drawn: Tensor) -> None:
        """Change only the logits of the two paths, and keep their sum of ``exp(logit)``."""
        pair = drawn > 0
        updated = logits[pair]
        corrected = before.clone()
        corrected[pair] = updated + (before[pair].logsumexp(-1) - updated.logsumexp(-1))
        logits.copy_(corrected)


def _draw(p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return torch.multinomial(p.cpu(), count, generator=generator).to(p.device)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return one_hot(index, len(like)).to(like)
