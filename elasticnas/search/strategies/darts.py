"""DARTS: softmax mixtures without a penalty on the cost."""

from elasticnas.search.relaxation import Relaxation, Softmax
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["DARTS"]


class DARTS(GradientStrategy):
    """Runs all options, weighted by the softmax of the logits; weights and logits are trained alternately.

    Weights are trained on ``train``, logits on ``held_out``: first order, or second order with ``settings.order=2``.
    There is no penalty on the cost.

    *Ours*: A Mixture adds the outputs of its options as in Eq. 2; sizes and depth use soft masks in one pass instead.
    Each iteration takes the weight step first, Algorithm 1 the architecture step. The xi of the second order is the
    weights' learning rate on the raw gradient: with Adam, the virtual step is shorter than the real one. A budget,
    which DARTS does not have, is met at the end by choosing the most probable architecture within it.

    Source: DARTS, arXiv:1806.09055v2: Eq. 2 (mixture), Algorithm 1, Eq. 7 and 8 (second order).
    """

    name = "darts"

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return Softmax."""
        return Softmax()
