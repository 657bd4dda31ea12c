"""ScoreFunction: architecture gradients from losses of sampled architectures alone."""

import torch
from torch import Tensor

from elasticnas.search.relaxation import Relaxation

__all__ = ["ScoreFunction"]


class ScoreFunction(Relaxation):
    """Draws architectures from ``softmax(logits)`` and runs nothing else.

    A weight step runs one architecture. An architecture step runs two independent ones, each the other's baseline:
    the gradient is ``(loss_1 - loss_2) / 2`` times that of ``log p_1 - log p_2``, an unbiased estimate of that of the
    expected loss. Where rules forbid a draw it is drawn again; the normaliser of that distribution is the same in
    both logarithms, and falls out of the difference.

    The expected cost is that of ``softmax(logits)``, with exact gradients.

    Source: REINFORCE, Williams 1992; leave-one-out baseline, Kool et al. 2019, "Buy 4 REINFORCE samples".
    """

    draws = True
    one_hot = True
    sampled = True

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """A one-hot vector ``(options,)``, without gradients."""
        index = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=generator)[0]
        return torch.nn.functional.one_hot(index, len(logits)).to(logits)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """``softmax(logits)``, with gradients."""
        return logits.softmax(-1)
