"""ScoreFunction: architecture gradients from the losses of sampled architectures."""

import torch
from torch import Tensor

from elasticnas.search.relaxation import Relaxation

__all__ = ["ScoreFunction"]


class ScoreFunction(Relaxation):
    """Score-function estimator (REINFORCE): draws architectures from ``softmax(logits)``.

    A weight step runs one architecture. An architecture step runs two independent ones, each the baseline of the other:
    the gradient is ``(loss_1 - loss_2) / 2`` times the gradient of ``log p_1 - log p_2``, an unbiased estimate of the
    gradient of the expected loss. Draws that rules forbid are repeated; the normalisation of that distribution cancels
    in the difference.

    The expected cost is over ``softmax(logits)``, with exact gradients.

    Source: REINFORCE, Williams 1992; leave-one-out baseline, Kool et al. 2019, "Buy 4 REINFORCE samples".
    """

    draws = True
    one_hot = True
    sampled = True

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Draw a one-hot vector ``(options,)``, without gradients."""
        index = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=generator)[0]
        return torch.nn.functional.one_hot(index, len(logits)).to(logits)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Return ``softmax(logits)``, differentiable."""
        return logits.softmax(-1)
