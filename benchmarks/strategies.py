"""Run every strategy on the small problem of StrategyContract, and compare with the results of an earlier version.

``python benchmarks/strategies.py docs/results --before FILE`` writes ``strategies.json`` and ``strategies.md``; FILE is
the JSON file of the earlier version.
"""

import argparse
import json
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from record import heading, write
from torch import nn

from elasticnas.cost import Params
from elasticnas.report import environment, table
from elasticnas.search import (
    DARTS,
    SPOS,
    DynamicConstraint,
    Evolve,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    SearchResult,
    SearchSettings,
    Strategy,
    SupernetTrainer,
    TrainerSettings,
)
from elasticnas.testing import StrategyContract

GRADIENT: dict[str, tuple[Strategy, dict[str, Any]]] = {
    "darts": (DARTS(), {}),
    "darts, second order": (DARTS(), {"order": 2, "steps": 20, "evaluate_every": 10}),
    "proxylessnas": (ProxylessNAS(), {}),
    "recnas": (RecNAS(), {}),
    "dynamic-constraint": (DynamicConstraint(), {}),
    "reinforce": (Reinforce(), {}),
    "spos": (SPOS(), {}),
    "random": (RandomSearch(), {}),
}


class Planted(StrategyContract):
    """Provides the problem and the settings."""

    def strategy(self) -> Strategy:
        return DARTS()


def figures(result: SearchResult[Any], model: nn.Module) -> dict[str, Any]:
    return {
        "found": result.best.model_dump(mode="json"),
        "cost": next(iter(result.found.costs.values())),
        "metrics": result.found.metrics,
        "random": result.random.architecture.model_dump(mode="json"),
        "random_metrics": result.random.metrics,
        "tried": [candidate.architecture.model_dump(mode="json") for candidate in result.tried],
        "probabilities": result.probabilities,
        "weights": digest(model),
    }


def digest(model: nn.Module) -> str:
    """Return a digest of the bits of all weights."""
    values = (value.detach().numpy().tobytes() for value in model.state_dict().values())
    return sha256(b"".join(values)).hexdigest()[:16]


def measure() -> dict[str, Any]:
    planted, found = Planted(), {}
    for name, (strategy, changes) in GRADIENT.items():
        problem = planted.problem("80%")
        found[name] = figures(strategy.search(problem, planted.settings.model_copy(update=changes)), problem.model)
    for rule in ("sandwich", "random", "single"):
        problem = planted.problem()
        schedule = {"schedule": "cosine", "warmup_steps": 5, "clip_norm": 1.0, "weight_lr": 0.01}
        SupernetTrainer(problem, TrainerSettings(steps=30, rule=rule, seed=4, **schedule)).run()
        found[f"trainer, {rule}"] = {"weights": digest(problem.model)}
        if rule == "sandwich":
            found |= measure_evolution(problem)
    return found


def measure_evolution(trained: Problem) -> dict[str, Any]:
    found, costs = {}, {**(trained.costs or {}), "params": Params(trained.model)}
    loss, held_out = trained.loss, trained.held_out

    def mean_loss(model: nn.Module) -> dict[str, float]:
        return {"loss": float(torch.stack([loss(model, batch) for batch in held_out(0)]).mean())}

    for method in ("nsga2", "local", "random"):
        for budget in (None, "80%"):
            limits = None if budget is None else {"flops": budget}
            problem = Problem(
                trained.model,
                costs=costs,
                evaluate=mean_loss,
                metric="loss",
                direction="minimise",
                budgets=limits,
            )
            result = Evolve(method, trials=9, population=3).search(problem, SearchSettings(seed=5))
            found[f"evolve, {method}, budget {budget}"] = figures(result, trained.model)
    return found


def page(record: dict[str, Any]) -> str:
    before, rows = record["before"] or {"commit": None, "figures": {}}, []
    for name, own in record["figures"].items():
        earlier = before["figures"].get(name)
        changed = "new" if earlier is None else ", ".join(key for key in own if own[key] != earlier[key]) or "none"
        metric = f"{own['metrics']['loss']:.4f}" if "metrics" in own else ""
        random = f"{own['random_metrics']['loss']:.4f}" if "metrics" in own else ""
        arch = ", ".join(map(str, own["found"].values())) if "found" in own else ""
        rows.append([name, arch, metric, random, own["weights"], changed])
    lines = heading("Results of every strategy on a small problem", record["environment"])
    lines += [
        "The problem of `StrategyContract`: sight (blind or seeing), inner size, depth; held-out loss, lower is "
        "better; at most 80 % of the FLOPs. It compares versions, not strategies: one seed, 80 steps.",
        "",
        table(["strategy", "found", "loss", "random search", "weights", f"differs from {before['commit']}"], rows),
        "",
        "Compared bit for bit: the found architecture, its cost and metrics, those of random search, every evaluated "
        "architecture, the final probabilities, and a digest of all weights after the search.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    before = None
    if options.before is not None:
        earlier = json.loads(options.before.read_text())
        before = {"commit": earlier["environment"]["commit"], "figures": earlier["figures"]}
    record = {"environment": environment(torch.device("cpu")), "figures": measure(), "before": before}
    record = json.loads(json.dumps(record))
    write(options.out, "strategies", record, page(record))


if __name__ == "__main__":
    main()
