"""DARTS: softmax mixtures, accuracy alone."""

from elasticnas.search.relaxation import Relaxation, Softmax
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["DARTS"]


class DARTS(GradientStrategy):
    """Every option runs, weighted by the softmax of its logit; weights and logits take turns on two parts of the data.

    First order, or second order with ``settings.order=2``. There is no penalty on the cost.

    *Ours*: A Mixture adds the outputs of its options as Eq. 2 does; sizes and depth are weighed by soft masks in one
    pass instead. A weight step comes first, then an architecture step, where Algorithm 1 has them the other way round.
    The xi of the second order is the weights' learning rate, on the raw gradient: with Adam the virtual step is
    shorter than the real one. The budget, where there is one, is met when the architecture is chosen, by the most
    probable one within it; DARTS has none.

    Source: DARTS, arXiv:1806.09055v2: Eq. 2 (mixture), Algorithm 1, Eq. 7 and 8 (second order).
    """

    name = "darts"

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Softmax."""
        return Softmax()
