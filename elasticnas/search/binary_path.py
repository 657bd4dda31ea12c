"""BinaryPath: one path of each choice runs, and two learn."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from elasticnas.search.relaxation import Relaxation

__all__ = ["BinaryPath"]

# The gate of the second path. At exactly 0 its units would be dead, and dead units get no gradient; this leaves
# the output as it is to rounding and gives Eq. 4 its dL/dg_j. A power of two that half precision holds.
_AJAR = 2.0**-20


class BinaryPath(Relaxation):
    """Binary gates of ProxylessNAS.

    A weight step runs one option of every choice, drawn from ``softmax(logits)``: an architecture, sliced. An
    architecture step draws two options without replacement, as if there were no others, and opens one of the two by
    their softmax; the other's gate is 2^-20. With p the softmax over the two and g the gates, a logit's gradient is
    ``sum_j dL/dg_j p_j (delta_ij - p_i)``. After it, both are shifted by the same amount so that the probabilities of
    all other options are as before, and no other logit moves.

    *Ours*: Eq. 4 holds where gates multiply outputs, which are those of a Mixture and of depth. The gate of a width
    sits before the activation: there ``dL/dg`` is the gradient of the mask.

    The expected cost is that of ``softmax(logits)`` over all options, with gradients to the two.

    Source: ProxylessNAS, arXiv:1812.00332v2, Eq. 2 to 4 and Section 3.2.1; expected cost: Section 3.3.1.
    """

    draws = True
    one_hot = True

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Gates ``(options,)``: about 1, 2^-20, and 0 elsewhere."""
        p = logits.detach().softmax(-1)
        possible = int((p > 0).sum())
        if possible < 2:
            return _one_hot(p.argmax(), logits)
        pair = _draw(p, 2, generator)
        among = logits[pair].softmax(-1)
        gates = torch.full_like(among, _AJAR).detach()
        gates[_draw(among.detach(), 1, generator)] = 1 - _AJAR
        # the difference is exactly 0; its gradient puts dL/dg in the place of dL/dp
        return torch.zeros_like(logits).index_put((pair,), gates + (among - among.detach()))

    def path(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """A one-hot vector ``(options,)``, without gradients."""
        return _one_hot(_draw(logits.detach().softmax(-1), 1, generator)[0], logits)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """``softmax(logits)``, with gradients to the two paths, whose sum is held."""
        p, pair = logits.detach().softmax(-1), drawn > 0
        return p.masked_scatter(pair, p[pair].sum() * logits[pair].softmax(-1))

    def after_step(self, logits: Tensor, before: Tensor, drawn: Tensor) -> None:
        """Move the two paths alone, and keep their sum of ``exp(logit)``."""
        pair = drawn > 0
        moved = logits[pair]
        kept = before.clone()
        kept[pair] = moved + (before[pair].logsumexp(-1) - moved.logsumexp(-1))
        logits.copy_(kept)


def _draw(p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return torch.multinomial(p.cpu(), count, generator=generator).to(p.device)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return one_hot(index, len(like)).to(like)
