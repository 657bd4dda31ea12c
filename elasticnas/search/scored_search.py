"""Scored search: evaluate every option, solve for the budgets, and evaluate the best predictions."""

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

from elasticnas.errors import BudgetError
from elasticnas.run import Progress, Run
from elasticnas.runtime import warn
from elasticnas.search.archive import Archive
from elasticnas.search.interactions import with_interactions
from elasticnas.search.option_scores import Checked, OptionScores
from elasticnas.search.problem import Problem
from elasticnas.search.random_search import draws
from elasticnas.search.result import Candidate, SearchResult
from elasticnas.search.saved_evaluations import SavedEvaluations
from elasticnas.search.scoring import fit_changes, single_changes
from elasticnas.search.settings import SearchSettings

if TYPE_CHECKING:
    from elasticnas.search.strategies.score_options import ScoreOptions

__all__ = ["ScoredSearch"]

_FEWEST = 5  # held-out architectures from which a rank correlation is judged
_LOW = 0.5  # rank correlation below which the scores are a poor guide


class ScoredSearch:
    """One call of :meth:`ScoreOptions.search`, after the training.

    Args:
        strategy: The strategy.
        references: The references.
        problem: The problem.
        settings: The settings.
        run: Saves and resumes.
        before: Steps of the training, which the progress counts too.
    """

    def __init__(
        self,
        strategy: "ScoreOptions",
        references: Sequence[Any],
        problem: Problem,
        settings: SearchSettings,
        run: Run,
        before: int,
    ) -> None:
        self.strategy, self.references, self.settings, self.run = strategy, references, settings, run
        # evaluations depend on no argument of the strategy, so that a resumed run may ask for more
        identity = {"method": strategy.name}
        self.saved = saved = SavedEvaluations(strategy.name, problem, settings, run, identity)
        self.limits, self.before = saved.limits, before
        self.lines: list[str] = []
        self.archive = Archive(saved.evaluator, self.limits, saved.outcome(), 0, saved.same, self._report)
        drawn = draws(saved.space, self.limits.excess, self.limits.allows, settings.seed, saved.same)
        first = list(islice(drawn, max(1, strategy.held_out)))
        if not first:
            raise self.limits.joint_budget_error()
        self.held_out = first[: strategy.held_out]
        self.probes = list(islice(drawn, strategy.corrections // 2))

    def result(self) -> SearchResult[Any]:
        """Evaluate, solve and return the result."""
        saved, archive = self.saved, self.archive
        scores = self._scores()
        self._evaluate([*self._predicted_best(scores), *self.held_out], 0)
        scores = self._checked(scores)
        tried = [each for each in archive.candidates.values() if self.limits.allows(each.architecture)]
        if not tried:
            raise saved.evaluator.all_failed_error()
        found, seconds = archive.outcome.best(tried), saved.seconds
        theirs = self._random(archive.spent)
        drawn = list(theirs.candidates.values()) or [found]
        result = archive.outcome.result(
            found,
            tried,
            drawn,
            tried=tuple(tried),
            warnings=[*self.run.changes, *self._warnings(scores, found, theirs)],
            failures=tuple(saved.evaluator.failures.values()),
            history=archive.history(self.limits.allows),
            seconds=seconds,
            steps=len(archive.candidates),
            scores=scores,
        )
        for line in result.warnings[len(self.run.changes) :]:
            warn(line)
        return result

    def _predicted_best(self, scores: OptionScores[Any]) -> Sequence[Any]:
        try:
            return scores.best_of(list(self.saved.budgets.values()), self.strategy.best)
        except BudgetError as error:
            if all(change is not None for changes in scores.changes.values() for change in changes):
                raise
            self.lines.append(f"no architecture without an option that has no score was found: {error}")
            return ()

    def _scores(self) -> OptionScores[Any]:
        saved, strategy = self.saved, self.strategy
        space = saved.space
        archs = self._planned()
        self._evaluate(archs, strategy.best + strategy.corrections + len(self.held_out))
        metrics = {arch: metric for arch in archs if (metric := self._metric(arch)) is not None}
        if not metrics:
            raise saved.evaluator.all_failed_error()
        level, changes = fit_changes(space, self.references[0], metrics)
        scores = OptionScores[space](  # type: ignore[valid-type]
            metric=saved.metric,
            direction=saved.direction,
            references=tuple(self.references),
            level=level,
            changes=changes,
        )
        self.scored = {saved.same(arch) for arch in archs}
        if not strategy.corrections:
            return scores
        after = strategy.best + len(self.held_out)
        pairs = strategy.corrections - len(self.probes)
        self._evaluate(self.probes, pairs + after)
        probes = {arch: metric for arch in self.probes if (metric := self._metric(arch)) is not None}
        left = iter(range(pairs - 1, -1, -1))

        def evaluate(arch: Any) -> float | None:
            self._evaluate([arch], next(left) + after)
            self.scored.add(saved.same(arch))
            return self._metric(arch)

        self.scored |= {saved.same(arch) for arch in self.probes}
        return with_interactions(scores, probes, evaluate, pairs)

    def _evaluate(self, archs: Sequence[Any], after: int) -> None:
        """Evaluate architectures; ``after`` is the most that are evaluated later."""
        archive, same = self.archive, self.saved.same
        new = list({same(arch): arch for arch in archs if arch not in archive}.values())
        for done, arch in enumerate(new):
            least = archive.spent + len(new) - done
            most = least + after
            archive.trials = most if self.networks is None else max(least, min(most, self.networks))
            archive.evaluate(arch)

    @cached_property
    def networks(self) -> int | None:
        """Number of networks that may be evaluated, if the space is so small that it limits the evaluations."""
        space, strategy = self.saved.space, self.strategy
        archs = self._planned()
        most = len(archs) + strategy.best + strategy.held_out + strategy.corrections
        if prod(len(choice.options) for choice in space.choice_list()) > most:
            return None
        return len({self.saved.same(arch) for arch in [*archs, *filter(self.limits.allows, space.enumerate())]})

    def _planned(self) -> list[Any]:
        """Return the architectures that are scored: the references, and those with one other option."""
        space = self.saved.space
        return [arch for each in self.references for arch in (each, *single_changes(space, each).values())]

    def _metric(self, arch: Any) -> float | None:
        candidate = self.archive.candidates.get(self.saved.same(arch))
        return None if candidate is None else candidate.metrics[self.saved.metric]

    def _checked(self, scores: OptionScores[Any]) -> OptionScores[Any]:
        """Add predictions for the held-out architectures that no score was fitted to."""
        rows = []
        for arch in self.held_out:
            metric, predicted = self._metric(arch), scores.predict(arch)
            if metric is not None and predicted == predicted and self.saved.same(arch) not in self.scored:
                rows.append(Checked(architecture=arch, predicted=predicted, evaluated=metric))
        return scores.model_copy(update={"checked": tuple(rows)})

    def _random(self, most: int) -> Archive:
        """Evaluate ``most`` random architectures within the budgets, the held-out ones first."""
        saved = self.saved
        trials = min(most, self.settings.random_architectures or most)
        theirs = Archive(saved.evaluator, self.limits, saved.outcome(), trials, saved.same, self._show)
        drawn = draws(saved.space, self.limits.excess, self.limits.allows, self.settings.seed, saved.same)
        for arch in islice(drawn, trials):
            theirs.evaluate(arch)
        return theirs

    def _warnings(self, scores: OptionScores[Any], found: Candidate[Any], theirs: Archive) -> list[str]:
        lines = [*self.lines]
        rank, count = scores.rank_correlation, len(scores.checked)
        if count >= _FEWEST and not rank >= _LOW:
            lines.append(
                f"the scores rank held-out architectures poorly: rank correlation {rank:.2f} on {count}; give "
                "corrections=, further references= such as the best architecture found, or search with Evolve"
            )
        unscored = [
            f"{name}={options[place]}"
            for name, options in self.saved.space.choices().items()
            for place, change in enumerate(scores.changes[name])
            if change is None
        ]
        if unscored:
            lines.append(
                f"{len(unscored)} options have no score and are not chosen, such as {unscored[0]}: none with it "
                "was found near a reference, or its evaluation failed; give references= that have it"
            )
        for who, archive in (("", self.archive), (" of random search", theirs)):
            if archive.failed:
                lines.append(f"{len(archive.failed)} of {archive.spent} evaluations{who} failed: see .failures")
        order = self.archive.outcome.order
        if theirs.candidates and order(theirs.best())[0] < order(found)[0]:
            lines.append("random search found a better metric: give best=, corrections= or references= more")
        return lines

    def _report(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        figures = dict(candidate.metrics) if candidate is not None else {}
        # the run adds the steps of the training to the number of the step, but not to the total
        self.run.report(Progress("score", archive.spent, self.before + archive.trials, figures, left))

    def _show(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        """Show random search on the bar only: it does not count as progress of the search."""
        self.run.reporting.show(Progress("random search", archive.spent, archive.trials, {}, left))
