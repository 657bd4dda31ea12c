"""Controller: the architecture parameters of a search, one vector of logits per choice."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elasticnas.errors import ArchitectureError, SearchError
from elasticnas.search.relaxation import Relaxation

__all__ = ["Controller"]

_TRIES = 1000


class Controller:
    """Logits for every choice of a space, and their probabilities under a relaxation.

    Logits start at 0: every option is equally probable (alpha = 1/m and beta = 1/L in EASRec).
    """

    def __init__(self, space: Any, relaxation: Relaxation, device: torch.device, seed: int) -> None:
        self.space, self.relaxation = space, relaxation
        self.logits = {
            name: torch.zeros(len(options), device=device, requires_grad=True)
            for name, options in space.choices().items()
        }
        self.generator = torch.Generator().manual_seed(seed)

    def parameters(self) -> list[Tensor]:
        """Return the logits, in the order of the choices."""
        return list(self.logits.values())

    def sample(self, step: int) -> dict[str, Tensor]:
        """Draw differentiable probabilities for an architecture step, with temperature and noise of the relaxation.

        If the most probable options break a rule of the space, they are drawn again: near temperature 0, no valid
        architecture would have a positive probability.

        Raises:
            SearchError: No draw obeys the rules.
        """
        return self._draw(self.relaxation, step)

    def path(self, step: int) -> dict[str, Tensor]:
        """Draw probabilities for a weight step, in the same way."""
        return self._draw(self.relaxation.path, step)

    def _draw(self, draw: Callable[[Tensor, int, torch.Generator], Tensor], step: int) -> dict[str, Tensor]:
        for _ in range(_TRIES):
            drawn = {name: draw(logits, step, self.generator) for name, logits in self.logits.items()}
            if not self.relaxation.draws or self._obeys_rules(drawn):
                return drawn
        raise SearchError(
            f"{self.space.__name__}: none of {_TRIES:,} draws obeys its rules at step {step}; the most probable "
            "options are a forbidden combination: use Softmax, or declare the choices so that fewer are forbidden"
        )

    def log_probability(self, arch: Any) -> Tensor:
        """Return the differentiable log-probability ``()`` of the options of an architecture.

        It does not include the normalisation for draws that break a rule, which is the same for all architectures.
        """
        indices = self.space.indices(arch)
        terms = [self.logits[name].log_softmax(-1)[indices[name]] for name in sorted(self.space.present(arch))]
        return torch.stack(terms).sum()

    def likeliest(self, drawn: Mapping[str, Tensor]) -> Any:
        """Return the architecture of the most probable options.

        Raises:
            ArchitectureError: They break a rule.
        """
        choices = self.space.choices()
        return self.space.from_assignment({name: choices[name][int(p.argmax())] for name, p in drawn.items()})

    def _obeys_rules(self, drawn: Mapping[str, Tensor]) -> bool:
        try:
            self.likeliest(drawn)
        except ArchitectureError:
            return False
        return True

    def cost_probabilities(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the differentiable probabilities for the expected cost."""
        return {name: self.relaxation.cost_probabilities(logits, drawn[name]) for name, logits in self.logits.items()}

    @torch.no_grad()
    def after_step(self, before: Sequence[Tensor], drawn: Mapping[str, Tensor]) -> None:
        """Let the relaxation correct the logits after an architecture step."""
        for (name, logits), old in zip(self.logits.items(), before, strict=True):
            self.relaxation.after_step(logits, old, drawn[name])

    @torch.no_grad()
    def probabilities(self) -> dict[str, Tensor]:
        """Return the learned probabilities, without temperature and noise."""
        return {name: self.relaxation.probabilities(logits) for name, logits in self.logits.items()}

    def entropy(self) -> dict[str, float]:
        """Return the entropy of every choice relative to its maximum, from 0 (one option) to 1 (uniform)."""
        found = {}
        for name, p in self.probabilities().items():
            most = math.log(len(p))
            found[name] = float(-(p * p.clamp_min(1e-30).log()).sum()) / most if most else 0.0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return logits and generator state."""
        logits = {name: value.detach().cpu().clone() for name, value in self.logits.items()}
        return {"logits": logits, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore logits and generator state."""
        with torch.no_grad():
            for name, value in self.logits.items():
                value.copy_(state["logits"][name])
        self.generator.set_state(state["generator"])
