"""A contest of searches on interactions, from a plan and a file to a page."""

from io import StringIO

import pytest
import torch
from rich.console import Console

from easrec.contest import task
from easrec.data.synthetic import planted
from elasticnas.contest import Contest, ContestPlan, read_plan
from elasticnas.contest.runner import write_result
from elasticnas.contest.seed import run_seed
from elasticnas.cost import count_flops
from elasticnas.errors import ElasticNASError
from tests.conftest import ROOT
from tests.easrec.test_wide_run import SMALL

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def contest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contest")
    planted(users=60, items=24, categories=4, length=9).write(folder / "log.tsv")
    plan = ContestPlan(
        task="easrec.contest:task",
        settings={"data": str(folder / "log.tsv"), "settings": SMALL},
        budget=0.3,
        seeds=(1,),
        strategies={
            "evolution": {"strategy": "evolve", "options": {"trials": 6, "population": 3}},
            "scores": {"strategy": "score-options", "options": {"best": 3, "held_out": 3, "trained": True}},
        },
        supernet={"steps": 6},
        evaluations=6,
        train_steps=120,
        validate_every=40,
    )
    made = Contest(plan, folder / "made")
    run_seed(made, 1, CPU, Console(file=StringIO()))
    return made


def test_found_networks_are_within_the_budget_that_the_uniform_one_fills(contest):
    found = {each.name: each for each in contest.entrants()}
    assert list(found) == ["evolution", "scores", "random search", "uniformly scaled"]
    limit = contest.plan.budget * contest.facts["largest_flops"]
    assert all(each.flops <= limit for name, each in found.items() if name != "uniformly scaled")
    assert found["uniformly scaled"].flops >= limit
    study = task(1, CPU, **contest.plan.settings)
    for name in ("evolution", "scores", "random search"):
        arch = study.space.model_validate(found[name].sizes)
        assert count_flops(study.factory(arch), study.example) == found[name].flops
        assert found[name].examples == 60
    write_result(contest)
    assert "unseen/ndcg@10" in (contest.folder / "result.md").read_text()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ElasticNASError, match=r"missing\.csv"):
        task(0, CPU, str(tmp_path / "missing.csv"))


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "contests").glob("*.yaml")), ids=lambda path: path.stem)
def test_plans_of_the_project_are_plans(path):
    plan = read_plan(path)
    few = path.stem == "ml-1m"  # hours a seed, whose networks are trained to the end
    strategies = {each.strategy for each in plan.strategies.values()}
    assert len(plan.seeds) >= (3 if few else 10) and strategies >= ({"evolve"} if few else {"evolve", "score-options"})
