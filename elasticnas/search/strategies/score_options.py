"""ScoreOptions: score every option once, then solve for any budgets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elasticnas.calls import usage
from elasticnas.errors import ArchitectureError, ConfigError, short_repr
from elasticnas.run import Run
from elasticnas.search.arguments import require_integer
from elasticnas.search.problem import Problem
from elasticnas.search.result import SearchResult
from elasticnas.search.scored_search import ScoredSearch
from elasticnas.search.scoring import single_changes
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.one_shot import train_then_evaluate
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["ScoreOptions"]


class ScoreOptions(Strategy):
    """Scores every option of every choice once, then finds the best architecture within any budgets from the scores.

    The score of an option is what it changes in the metric if it alone replaces the option of a reference, by default
    the largest architecture. The sum of the scores predicts the metric of every architecture, and the best prediction
    within the budgets is found in seconds (:class:`~elasticnas.search.option_scores.OptionScores`, ``result.scores``,
    which also answers other budgets later). The best predicted architectures are evaluated, and the best of all that
    were evaluated within the budgets is returned.

    The number of evaluations is that of all options, one for each reference, and ``best + held_out + corrections``; an
    architecture is evaluated once. Random search evaluates as many architectures, all of them within the budgets and
    among them those held out, although the search spends evaluations above the budgets and on architectures whose
    evaluation fails: both count (``random_architectures`` of the settings limits their number). ``result.tried`` has
    the architectures within the budgets only, ``result.history`` all.

    Trains by single paths like SPOS before; with ``trained=True`` the weights are used as they are, and of the
    settings only the seed, ``retries`` and ``random_architectures``.

    Args:
        best: Number of best predicted architectures to evaluate.
        held_out: Number of random architectures within the budgets on which the predictions are checked.
        corrections: Number of evaluations for pairs of options that do not add up: half of them random architectures,
            whose residuals show the pairs, half the pairs (:func:`~elasticnas.search.interactions.with_interactions`).
        references: Architectures, or mappings of their fields, in which options are replaced one by one; several give
            scores that fit all of them best. Empty: the largest.
        trained: Whether the supernet is trained already.

    Raises:
        ConfigError: An argument is out of its range.

    Source: scores of block alternatives and a search for their best combination under constraints, Puzzle,
    arXiv:2411.19146; *ours*: any supernet and space with rules, true costs, pairwise corrections, and the check on
    held-out architectures. The supernet's training: SPOS, arXiv:1904.00420.
    """

    name = "score-options"

    @usage("ScoreOptions(best=20, held_out=20, corrections=0, references=(), trained=False)")
    def __init__(
        self,
        best: int = 20,
        held_out: int = 20,
        corrections: int = 0,
        references: Sequence[Space | Mapping[str, Any]] = (),
        trained: bool = False,
    ) -> None:
        require_integer("best", best, 1)
        require_integer("held_out", held_out, 0)
        require_integer("corrections", corrections, 0)
        if isinstance(references, (Space, Mapping, str)) or not isinstance(references, Iterable):
            raise ConfigError(f"references={short_repr(references)}: a list of architectures is needed")
        self.best, self.held_out, self.corrections = best, held_out, corrections
        self.references, self.trained = tuple(references), trained

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`."""
        settings, run = arguments(self, problem, settings, run)
        references = _references(self.references, problem.axes.space)
        if self.trained:
            with run:
                return ScoredSearch(self, references, problem, settings, run, 0).result()
        problem.require(f"{self.name} (trained=True takes a trained supernet)", "loss", "train")
        steps = settings.steps
        scored = sum(1 + len(single_changes(problem.axes.space, reference)) for reference in references)

        def score(problem: Problem[S], settings: SearchSettings, run: Run) -> SearchResult[S]:
            with run:
                return ScoredSearch(self, references, problem, settings, run, steps).result()

        trials = scored + self.best + self.held_out + self.corrections
        return train_then_evaluate(self.name, problem, settings, run, trials, score, fixed=False)


def _references(given: Sequence[Any], space: Any) -> list[Any]:
    """Return the references as architectures of a space; the largest if none is given.

    Raises:
        ConfigError: One is of another space, or no valid architecture.
    """
    found = []
    for each in given:
        try:
            arch = space(**each) if isinstance(each, Mapping) else each
            space.assignment(arch)
        except ArchitectureError as error:
            raise ConfigError(f"references: {error}") from None
        found.append(arch)
    return found or [space.largest()]
