"""Contest: the folder of a contest, its entrants, and their judgement."""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elasticnas.checkpoint import first_difference, load_part
from elasticnas.contest.entrant import Entrant
from elasticnas.contest.plan import RANDOM, SCRATCH, UNIFORM, ContestPlan, file_name
from elasticnas.contest.statistics import Judgement, judge
from elasticnas.errors import CheckpointError, one_line
from elasticnas.files import write_signed

__all__ = ["Contest"]

_PLAN = "plan.json"


class Contest:
    """A plan and the folder that holds its entrants, one file each.

    Args:
        plan: The plan.
        folder: The folder; it is created at the first entrant.

    Raises:
        CheckpointError: The folder holds the contest of another plan.
    """

    def __init__(self, plan: ContestPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._known = self._stored()

    @property
    def names(self) -> list[str]:
        """Names of the entrants of a seed, in the order in which they are made."""
        searched = [*self.plan.strategies, RANDOM]
        return [*searched, UNIFORM, *([name + SCRATCH for name in searched] if self.plan.scratch else [])]

    @property
    def facts(self) -> dict[str, Any]:
        """What was found when the contest began: metric, direction, facts of the space; empty before."""
        return {} if self._known is None else dict(self._known["facts"])

    def begin(self, facts: dict[str, Any]) -> None:
        """Save the plan; later calls check that the task is the same, up to the rounding of sums by other machines.

        Raises:
            CheckpointError: The task has changed.
        """
        path = self.folder / _PLAN
        self._known = self._known or self._stored()  # another process may have begun meanwhile
        if self._known is None:
            self._known = {"plan": json.loads(self.plan.model_dump_json()), "facts": json.loads(json.dumps(facts))}
            write_signed(path, self._known)
        elif difference := first_difference(_rounded(self._known["facts"]), _rounded(json.loads(json.dumps(facts)))):
            raise CheckpointError(f"{self.folder} holds a contest of another task, {difference}; use another folder")

    def _stored(self) -> dict[str, Any] | None:
        stored = load_part(self.folder / _PLAN)
        own = json.loads(self.plan.model_dump_json())
        if stored is not None and (difference := first_difference(stored["plan"], own)):
            raise CheckpointError(
                f"{self.folder} holds a contest of another plan, {difference}: a plan is fixed before the first run; "
                "use another folder"
            )
        return stored

    @property
    def unfinished(self) -> Path:
        """Folder of what is under way: a folder and a log for each seed."""
        return self.folder / "unfinished"

    def path(self, name: str, seed: int) -> Path:
        """Return the file of an entrant."""
        return self.folder / "entrants" / str(seed) / f"{file_name(name)}.json"

    def entrant(self, name: str, seed: int) -> Entrant | None:
        """Return an entrant; None if it is not made yet.

        Raises:
            CheckpointError: Its file is damaged, or is that of another entrant or seed.
        """
        path = self.path(name, seed)
        stored = load_part(path)
        if stored is None:
            return None
        try:
            found = Entrant.model_validate(stored)
        except ValidationError as error:
            raise CheckpointError(f"{path}: damaged ({one_line(Entrant, error)}); delete it to make it again") from None
        if (found.name, found.seed) != (name, seed):
            raise CheckpointError(
                f"{path}: holds {found.name!r} of seed {found.seed} in the place of {name!r} of seed {seed}; move it "
                "where it belongs, or delete it to make this one"
            )
        return found

    def keep(self, entrant: Entrant) -> None:
        """Save an entrant."""
        write_signed(self.path(entrant.name, entrant.seed), entrant.model_dump(mode="json"))

    def entrants(self) -> list[Entrant]:
        """Return all entrants that are made, by seed."""
        made = [self.entrant(name, seed) for seed in self.plan.seeds for name in self.names]
        return [entrant for entrant in made if entrant is not None]

    def missing(self, names: Collection[str] | None = None) -> dict[int, list[str]]:
        """Return which of these entrants, by default of all, are missing, by seed."""
        wanted = self.names if names is None else names
        left = {seed: [n for n in wanted if not self.path(n, seed).exists()] for seed in self.plan.seeds}
        return {seed: names for seed, names in left.items() if names}

    def judgements(self, entrants: Sequence[Entrant]) -> tuple[Judgement, ...]:
        """Return the primary judgements: every strategy against random search, and all against uniform scaling."""
        return self._judged(self._pairs, entrants)

    def judgements_of_cost(self, entrants: Sequence[Entrant]) -> tuple[Judgement, ...]:
        """Return the same comparisons of the networks' FLOPs, in millions, fewer is better: a family of its own."""
        return judge(self._pairs, _values(entrants, lambda each: each.flops / 1e6), "minimise")

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        strategies = list(self.plan.strategies)
        return [(name, RANDOM) for name in strategies] + [(name, UNIFORM) for name in (*strategies, RANDOM)]

    def judgements_from_scratch(self, entrants: Sequence[Entrant]) -> tuple[Judgement, ...]:
        """Return the secondary judgements, a family of their own: architectures trained from random weights."""
        names = [*self.plan.strategies, RANDOM] if self.plan.scratch else []
        pairs = [(name + SCRATCH, RANDOM + SCRATCH) for name in names[:-1]]
        return self._judged(pairs + [(name + SCRATCH, UNIFORM) for name in names], entrants)

    def _judged(self, pairs: list[tuple[str, str]], entrants: Sequence[Entrant]) -> tuple[Judgement, ...]:
        direction = self.facts.get("direction", "maximise")
        return judge(pairs, _values(entrants, lambda each: each.test), direction, self.plan.smallest_difference)


def _values(entrants: Sequence[Entrant], value: Callable[[Entrant], float]) -> dict[str, dict[int, float]]:
    """Return a value of each entrant, by name and seed."""
    found: dict[str, dict[int, float]] = {}
    for entrant in entrants:
        found.setdefault(entrant.name, {})[entrant.seed] = value(entrant)
    return found


def _rounded(facts: Any) -> Any:
    """Return plain data with twelve digits of every number: Python 3.12 adds floats more exactly than 3.11."""
    if isinstance(facts, dict):
        return {name: _rounded(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [_rounded(value) for value in facts]
    return float(f"{facts:.12g}") if isinstance(facts, float) else facts
