"""Optuna's storages: readable by people, read once by the library, and those of before go on."""

import json

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from elasticnas.search import storage
from tests.search.test_evolve import Sizes, problem, search

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TRIALS = {"trials": 30, "population": 6}


def study_in(path, name="elasticnas"):
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))))


@pytest.mark.parametrize("method", ["nsga2", "local", "random"])
def test_a_journal_names_the_architecture_of_every_trial(method, tmp_path):
    given = problem(budgets={"cost": "40%"})
    result = search(method, given, storage=tmp_path / "log", **TRIALS)
    trials = study_in(tmp_path / "log").trials
    done = [trial.user_attrs for trial in trials if trial.state.name == "COMPLETE"]
    archs = [Sizes.model_validate(attributes["architecture"]) for attributes in done]
    evaluated = {arch for arch, attributes in zip(archs, done, strict=True) if "elasticnas candidate" in attributes}
    assert evaluated >= {candidate.architecture for candidate in result.tried}
    cost = given.costs["cost"]
    over = [arch for arch in archs if cost(arch) > 0.4 * cost(Sizes.largest())]
    assert bool(over) == (method == "nsga2") and not evaluated & set(over)  # named, though not evaluated
    best = result.best.model_dump(mode="json")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert any(best in (line.get("user_attr") or line.get("user_attrs") or {}).values() for line in lines)


def test_a_journal_of_before_goes_on(tmp_path):
    """One whose trials do not name their architecture, cut in the middle."""
    whole = search("nsga2", storage=tmp_path / "whole", **TRIALS)
    search("nsga2", storage=tmp_path / "log", **TRIALS | {"trials": 15})
    lines = (tmp_path / "log").read_text().splitlines(keepends=True)
    before = [line for line in lines if "architecture" not in json.loads(line).get("user_attr", {})]
    assert len(before) < len(lines)
    (tmp_path / "log").write_text("".join(before))
    result = search("nsga2", storage=tmp_path / "log", **TRIALS)
    assert len(result.tried) == 30 and result.tried[:15] == whole.tried[:15]


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_every_trial_is_read_once(method, tmp_path, monkeypatch):
    read, revived = [], storage.restore
    monkeypatch.setattr(storage, "restore", lambda *given: read.append(None) or revived(*given))
    search(method, storage=tmp_path / "log", **TRIALS)
    # those of the search, and where it is not the same, those of random search
    assert len(read) <= 30 * (1 if method == "random" else 2)
