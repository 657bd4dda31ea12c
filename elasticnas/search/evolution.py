"""NSGA-II over the choices of a space, by Optuna."""

from typing import Any

from elasticnas.errors import ArchitectureError
from elasticnas.search.archive import KEY, Archive, stored
from elasticnas.search.random_search import draw_allowed

__all__ = ["nsga2", "sampler"]

_TRIES = 50  # asked for each evaluation, where most of what crossover makes is known, impossible or over the budget


def nsga2(study: Any, archive: Archive, space: Any, population: int, seed: int) -> None:
    """Evolve until the archive is full or nothing new comes.

    The first population is random within the budgets. A combination that a rule forbids fails its trial; one over a
    budget takes part as infeasible, without an evaluation; one that is known is not evaluated again.

    Args:
        study: With Optuna's NSGA-II sampler.
        archive: Evaluates, and holds what was.
        space: The search space.
        population: Size of a generation.
        seed: Of the first population.

    Source: NSGA-II, Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """
    missing = min(population, archive.trials) - len(archive.candidates)
    first = draw_allowed(space, max(0, missing), archive.costs[0], archive.allows, seed)
    for arch in first:
        study.enqueue_trial(_params(space, arch), skip_if_exists=True)
    choices, tries = space.choice_list(), 0
    while not archive.full and tries < _TRIES * archive.trials:
        tries += 1
        archive.add(*stored(study, space))  # what other processes have evaluated
        if archive.full:
            return
        trial = study.ask()
        assignment = {c.name: c.options[trial.suggest_categorical(c.name, range(len(c.options)))] for c in choices}
        try:
            try:
                arch = space.build(assignment)
            except ArchitectureError:
                study.tell(trial, state=_state("FAIL"))
                continue
            violations = [budget.cost(arch) / budget.limit - 1 for budget in archive.budgets]
            allowed = archive.allows(arch)
            for number, value in enumerate(violations):
                trial.set_constraint(f"budget {number}", min(0.0, value) if allowed else value)
            if not allowed:
                study.tell(trial, [cost(arch) for cost in archive.costs] + [0.0])
                continue
            new = arch not in archive.candidates
            candidate = archive.evaluate(arch)
            if new:
                trial.set_user_attr(KEY, candidate.to_dict())
            study.tell(trial, archive.objectives(candidate))
        except BaseException:  # Ctrl-C too: no trial is left running
            if trial.number in {t.number for t in study.get_trials(deepcopy=False, states=(_state("RUNNING"),))}:
                study.tell(trial, state=_state("FAIL"))
            raise


def sampler(population: int, seed: int) -> Any:
    """Optuna's NSGA-II sampler."""
    import optuna

    return optuna.samplers.NSGAIISampler(population_size=population, seed=seed)


def _params(space: Any, arch: Any) -> dict[str, int]:
    indices: dict[str, int] = space.indices(arch)
    return indices


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
