"""A whole contest in seconds: work, what is kept, kill and resume, errors."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest
import torch
from rich.console import Console
from torch import nn

from elasticnas.contest import Contest, ContestPlan, read_plan
from elasticnas.contest import contest as contest_module
from elasticnas.contest.page import verdict
from elasticnas.contest.runner import run_seeds, write_result
from elasticnas.contest.seed import run_seed
from elasticnas.contest.training import ValidatedTraining
from elasticnas.cost import count_flops
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.plain_yaml import parse_yaml
from elasticnas.run import Run, drive
from elasticnas.search import PlainTraining
from elasticnas.search.schedule import warm_cosine
from tests.conftest import ROOT
from tests.contest.task import Net
from tests.parallel.launching import environment
from tests.study.signs import Sizes, batches, loss

GIVEN = {
    "task": "tests.contest.task:task",
    "budget": 0.5,
    "seeds": (3, 4),
    "strategies": {
        "evolution": {"strategy": "evolve", "options": {"trials": 5, "population": 3}},
        "darts": {"strategy": "darts", "trains": True, "search": {"update_every": 5}},
    },
    "supernet": {"steps": 12, "rule": "sandwich"},
    "evaluations": 5,
    "train_steps": 20,
    "validate_every": 8,
    "scratch": True,
}
NAMED = "task: a:b\nbudget: 0.5\nseeds: [1]\nstrategies: {%s}"
NAMES = ["evolution", "darts", "random search", "uniformly scaled"]
NAMES += [f"{name}, from scratch" for name in NAMES[:3]]
CPU = torch.device("cpu")


def plan(**changes):
    return ContestPlan.model_validate({**GIVEN, **changes})


def quiet():
    return Console(file=StringIO())


def flops(hidden, depth):
    """FLOPs of the network by hand: input 4 x hidden, blocks of two layers with 8 inner units, output hidden x 3."""
    return 2 * (4 * hidden + depth * 2 * hidden * 8 + hidden * 3)


LARGEST = flops(16, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contest") / "signs"
    contest = Contest(plan(), folder)
    for seed in (3, 4):
        run_seed(contest, seed, CPU, quiet())
    return contest


def test_every_entrant_of_every_seed_is_made(made):
    assert [(each.name, each.seed) for each in made.entrants()] == [(name, seed) for seed in (3, 4) for name in NAMES]
    assert made.missing() == {}
    assert sorted(path.name for path in made.folder.iterdir()) == ["entrants", "plan.json"]  # nothing unfinished


def test_work_is_counted_by_hand_and_equal(made):
    facts = made.facts
    smallest = flops(4, 1) / LARGEST
    assert facts["supernet_work"] == pytest.approx(12 * (1 + smallest + 2 * facts["mean_share"]))
    shares = [flops(hidden, depth) / LARGEST for hidden in (16, 12, 8, 4) for depth in (3, 2, 1)]
    assert facts["mean_share"] == pytest.approx(sum(shares) / len(shares), abs=0.1)  # of 64 drawn ones
    assert facts["work"] == pytest.approx(facts["supernet_work"] + 5 * 0.5 + 20 * 0.5 * (1 + 1 / 8))
    for each in made.entrants():
        share = each.flops / LARGEST
        if "hidden" in each.sizes and "uniform" not in each.name:
            assert each.flops == flops(each.sizes["hidden"], each.sizes["depth"])
            assert share <= 0.5
        assert each.planned == facts["work"]
        assert each.work.training == pytest.approx(each.steps * share * (1 + 1 / 8))
        assert 0 <= each.planned - each.work.total < share * (1 + 1 / 8)  # less than one more step
        searched = each.name in ("evolution", "random search")
        assert each.work.supernet == pytest.approx(facts["supernet_work"] if searched else each.work.supernet)
        assert each.evaluated == (5 if searched else 1 if each.name == "darts" else 0)


def test_the_uniform_network_has_at_least_the_budget(made):
    for each in made.entrants():
        if each.name == "uniformly scaled":
            assert each.sizes["depth"] == 3
            assert flops(each.sizes["hidden"] - 1, 3) < 0.5 * LARGEST <= each.flops == flops(each.sizes["hidden"], 3)


def test_test_metrics_are_those_of_the_best_validation(made):
    """The uniform network is trained anew by hand: Adam, warm-up, cosine, clipping; the best validation is kept."""
    entrant = made.entrant("uniformly scaled", 4)
    torch.manual_seed(4)
    network = Net(type("Sizes", (), {"hidden": entrant.sizes["hidden"], "depth": 3}))
    optimizer = torch.optim.Adam(network.parameters(), lr=1.0, fused=True)
    best, kept, steps = float("inf"), None, entrant.steps
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * warm_cosine(step, steps, steps // 20)
        optimizer.zero_grad()
        loss(network, batches(step // 5)[step % 5]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 8 == 0 or step + 1 == steps:
            with torch.no_grad():
                value = sum(float(loss(network, batch)) for batch in batches(-1)) / 5
                tested = sum(float(loss(network, batch)) for batch in batches(-2)) / 5
            if value < best:
                best, kept = value, (tested, step + 1)
    assert entrant.validation == pytest.approx(best, abs=1e-6)
    assert entrant.test == pytest.approx(kept[0], abs=1e-6)
    assert entrant.best_step == kept[1]


def test_made_again_nothing_runs(made):
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.json")}
    run_seed(Contest(plan(), made.folder), 3, CPU, quiet())
    assert {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.json")} == before


def test_a_missing_entrant_is_made_as_before(made, tmp_path):
    path = made.path("evolution", 3)
    before = json.loads(path.read_text())
    path.unlink()
    assert made.missing() == {3: ["evolution"]}
    run_seed(Contest(plan(), made.folder), 3, CPU, quiet())
    again = json.loads(path.read_text())
    for entry in (before, again):
        del entry["seconds"], entry["checksum"]
    assert again == before


def test_the_page_says_first_what_is_not_shown(made):
    write_result(made)
    text = (made.folder / "result.md").read_text()
    lines = verdict(made, made.judgements(made.entrants()), made.judgements_of_cost(made.entrants()))
    assert lines[0] == "2 seeds can show no difference, whatever its size: 5 comparisons need at least 8."
    assert "Not shown to be better than random search: evolution (too few seeds), darts (too few seeds)." in lines[1]
    assert text.index(lines[0]) < text.index("## Networks")
    assert (made.folder / "result.md").read_text() == text
    record = json.loads((made.folder / "result.json").read_text())
    assert len(record["entrants"]) == 14 and len(record["judgements"]) == 5 and len(record["from_scratch"]) == 5
    assert len(record["costs"]) == 5 and {each["device"] for each in record["entrants"]} == {"cpu"}


def test_costs_are_judged_as_a_family_of_their_own(made):
    contest = Contest(plan(seeds=tuple(range(8)), scratch=False), made.folder.parent / "costs")
    million = {"evolution": 40, "darts": 100, "random search": 55, "uniformly scaled": 100}
    one = made.entrants()[0]
    entrants = [
        one.model_copy(update={"name": name, "seed": seed, "flops": number * 10**6})
        for seed in range(8)
        for name, number in million.items()
    ]
    costs = contest.judgements_of_cost(entrants)
    p = {(each.name, each.against): each.p for each in costs}
    assert p["evolution", "uniformly scaled"] == 2 / 2**8 and p["darts", "uniformly scaled"] == 1  # all signs; ties
    assert [(each.name, each.against, each.difference, each.verdict) for each in costs] == [
        ("evolution", "random search", -15, "better"),
        ("darts", "random search", 45, "worse"),
        ("evolution", "uniformly scaled", -60, "better"),
        ("darts", "uniformly scaled", 0, "no difference shown"),
        ("random search", "uniformly scaled", -45, "better"),
    ]
    lines = verdict(contest, contest.judgements(entrants), costs)
    assert not any(line.startswith("Secondary") for line in lines)  # the metric is not as good, as none matters little
    worth = {("evolution", "random search"): "as good", ("evolution", "uniformly scaled"): "worse"}
    judged = [
        each.model_copy(update={"verdict": worth.get((each.name, each.against), "better")})
        for each in contest.judgements(entrants)
    ]
    assert [line for line in verdict(contest, judged, costs) if line.startswith("Secondary")] == [
        "Secondary: the networks of evolution have 15 MFLOPs fewer than those of random search (15 to 15).",
        "Secondary: the networks of random search have 45 MFLOPs fewer than those of uniformly scaled (45 to 45).",
    ]


def test_another_plan_needs_another_folder(made):
    with pytest.raises(CheckpointError, match="another plan, train_steps"):
        Contest(plan(train_steps=21), made.folder)
    with pytest.raises(CheckpointError, match="another plan, seeds"):
        Contest(plan(seeds=(3, 4, 5)), made.folder)


def test_a_damaged_entrant_names_its_file(tmp_path):
    contest = Contest(plan(), tmp_path)
    path = contest.path("evolution", 3)
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "evolution"')
    with pytest.raises(CheckpointError, match=r"evolution.json: damaged .*; delete it to make it again"):
        contest.entrants()


def test_a_file_of_another_seed_is_refused(made, tmp_path):
    contest = Contest(plan(), tmp_path)
    contest.path("evolution", 3).parent.mkdir(parents=True)
    contest.path("evolution", 3).write_bytes(made.path("evolution", 4).read_bytes())
    with pytest.raises(CheckpointError, match="holds 'evolution' of seed 4 in the place of 'evolution' of seed 3"):
        contest.entrants()


def test_of_two_plans_that_begin_together_one_is_refused(tmp_path):
    one, other = (Contest(plan(train_steps=steps), tmp_path) for steps in (20, 21))  # the folder is still empty
    one.begin({"metric": "nats"})
    with pytest.raises(CheckpointError, match="another plan, train_steps"):
        other.begin({"metric": "nats"})


def test_sums_of_another_machine_are_the_same_task(tmp_path):
    one = Contest(plan(), tmp_path)
    one.begin({"mean_share": 0.13899811601216813, "space": {"hidden": [32]}})  # the mean by Python 3.12
    one.begin({"mean_share": 0.13899811601216816, "space": {"hidden": [32]}})  # by Python 3.11
    with pytest.raises(CheckpointError, match="another task, mean_share"):
        one.begin({"mean_share": 0.138998117, "space": {"hidden": [32]}})


def scores(**more):
    return {"scores": {"strategy": "score-options", "options": {"best": 1, "held_out": 0, "trained": True} | more}}


def test_evaluations_above_the_budget_are_work_too(tmp_path):
    contest = Contest(plan(strategies=scores(), scratch=False), tmp_path / "c")
    run_seed(contest, 3, CPU, quiet(), ["scores"])
    entrant = contest.entrant("scores", 3)
    # the largest, and all that differ from it in one option; then the best prediction, if it is not among them
    changed = [(16, 3), (12, 3), (8, 3), (4, 3), (16, 2), (16, 1)]
    scored = sum(flops(*sizes) for sizes in changed) / LARGEST
    assert scored > 3.0  # far more than evaluations within the budget
    assert entrant.evaluated in (6, 7)
    assert scored - 1e-9 <= entrant.work.evaluations <= scored + 0.5 * (entrant.evaluated - 6) + 1e-9
    assert 0 <= entrant.planned - entrant.work.total < entrant.flops / LARGEST * (1 + 1 / 8)


def test_evaluations_and_early_end_of_a_gradient_search_count(tmp_path):
    """With learning rates of almost 0 nothing improves: the second evaluation ends the search."""
    search = {"update_every": 5, "evaluate_every": 3, "patience": 1, "architecture_lr": 1e-9}
    darts = {"strategy": "darts", "trains": True, "steps": 12, "search": search}
    slow = {"steps": 12, "rule": "sandwich", "weight_lr": 1e-30}
    contest = Contest(plan(strategies={"darts": darts}, supernet=slow, scratch=False), tmp_path / "c")
    run_seed(contest, 3, CPU, quiet(), ["darts"])
    entrant = contest.entrant("darts", 3)
    assert entrant.work.supernet == pytest.approx(6 * (1 + 1 / 5))
    found = flops(entrant.sizes["hidden"], entrant.sizes["depth"]) / LARGEST
    assert entrant.evaluated == 3 and entrant.work.evaluations == pytest.approx(3 * found)  # two, and the found one
    assert 0 <= entrant.planned - entrant.work.total < found * (1 + 1 / 8)


def test_a_command_judges_once(made, tmp_path, monkeypatch, main):
    shutil.copytree(made.folder, tmp_path / "c")
    path, families = tmp_path / "plan.yaml", []
    path.write_text(json.dumps(made.plan.model_dump(mode="json")))  # JSON is YAML
    judged = contest_module.judge
    monkeypatch.setattr(contest_module, "judge", lambda pairs, *rest: families.append(pairs) or judged(pairs, *rest))
    code, printed, _ = main("compare", path, "--out", tmp_path / "c", "--page")
    assert code == 0 and "2 seeds can show no difference" in printed.replace("\n", " ")
    assert [len(pairs) for pairs in families] == [5, 5, 5]  # the primary family, costs, architectures alone


def test_a_search_that_leaves_no_work_for_training_is_refused(tmp_path):
    contest = Contest(plan(strategies=scores(), scratch=False, train_steps=1, evaluations=2), tmp_path / "c")
    with pytest.raises(ConfigError, match=r"seed 3: scores leaves no work to train its network: supernet .* evaluat"):
        run_seed(contest, 3, CPU, quiet(), ["scores"])
    assert contest.entrants() == []


@pytest.mark.parametrize("given", [{"x": {"strategy": "darts"}}, {"x": scores(trained=False)["scores"]}])
def test_training_that_nobody_counts_is_refused(given, tmp_path):
    with pytest.raises(ConfigError, match=r"x: .*train.*; a strategy that trains needs trains: true in the plan"):
        run_seed(Contest(plan(strategies=given, scratch=False), tmp_path / "c"), 3, CPU, quiet(), ["x"])


def test_without_entrants_there_is_no_page(tmp_path):
    with pytest.raises(ElasticNASError, match="no network is trained yet"):
        write_result(Contest(plan(), tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a mapping of fields"),
        ("[1]", "a mapping of fields"),
        ("task: [", "no YAML"),
        ("task: a:b\nbudget: 2\nseeds: [1]\nstrategies: {e: {strategy: evolve}}", "budget: .*less than 1"),
        ("task: a:b\nbudget: 0.5\nseeds: [1, 1]\nstrategies: {e: {strategy: evolve}}", "different seeds"),
        ("task: a:b\nbudget: 0.5\nseeds: []\nstrategies: {e: {strategy: evolve}}", "different seeds"),
        ("task: a:b\nbudget: 0.5\nseeds: [1]\nstrategies: {}", "at least one strategy"),
        ("task: a:b\nbudget: 0.5\nseeds: [1]\nstrategies: {a/b: {strategy: evolve}}", "'a/b' is no name"),
        ("task: a:b\nbudget: 0.5\nseeds: [1]\nstrategies: {random search: {strategy: evolve}}", "no name"),
        (NAMED % "random-search: {strategy: evolve}", "'random-search' and 'random search' would share a file"),
        (NAMED % "a b: {strategy: evolve}, A-b: {strategy: evolve}", "'A-b' and 'a b' would share a file"),
        (NAMED % "x: {strategy: evolve}, x from scratch: {strategy: evolve}", "'x from scratch' and 'x' would share"),
        ("task: a:b\nbudget: 0.5\nseed: [1]\nstrategies: {e: {strategy: evolve}}", "seed: unknown.*seeds"),
    ],
)
def test_wrong_plans_name_file_and_field(text, message, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_plan(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "tests.contest.missing:task"}, "is not module:function"),
        ({"task": "tests.contest.task:nothing"}, "is not module:function"),
        ({"task": "tests"}, "is not module:function"),
        ({"task": "tests.contest.task:no_study"}, "returns Net: a Study is needed"),
        ({"settings": {"colour": 3}}, "settings {'colour': 3}: .*colour"),
        ({"strategies": GIVEN["strategies"] | {"x": {"strategy": "nobody"}}}, "nobody"),
        ({"strategies": {"x": {"strategy": "evolve", "options": {"trails": 3}}}}, "trails"),
    ],
)
def test_wrong_tasks_and_strategies_are_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises(ElasticNASError, match=message) as error:
        run_seed(Contest(plan(**changes), tmp_path / "c"), 3, CPU, quiet())
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "c").rglob("checkpoint"))


def command(path, folder, *more):
    arguments = [sys.executable, "-m", "elasticnas", "compare", str(path), "--out", str(folder), *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return arguments, {"env": environment(), "cwd": ROOT, **pipes}


def test_killed_and_resumed_gives_the_same(made, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(plan(supernet={"steps": 12, "rule": "sandwich"}).model_dump_json())
    folder = tmp_path / "killed"
    arguments, options = command(path, folder, "--seed", "3")
    process = subprocess.Popen(arguments, **options)
    first = folder / "entrants" / "3" / "evolution.json"
    deadline = time.monotonic() + 120
    while not first.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert first.exists()
    done = subprocess.run(*command(path, folder, "--seed", "3")[:1], **command(path, folder)[1], timeout=300)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        ours, theirs = (Contest(plan(), each).entrant(name, 3) for each in (folder, made.folder))
        assert ours.model_copy(update={"seconds": {}}) == theirs.model_copy(update={"seconds": {}})


def test_a_failing_seed_does_not_stop_the_others(tmp_path):
    path = tmp_path / "plan.yaml"
    given = plan(settings={"spoilt": 3}, scratch=False, strategies={"evolution": GIVEN["strategies"]["evolution"]})
    path.write_text(given.model_dump_json())
    arguments, options = command(path, tmp_path / "c", "--jobs", "2")
    done = subprocess.run(arguments, **options, timeout=300)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: 1 seeds failed, such as seed 3: RuntimeError: the disk is full")
    contest = Contest(given, tmp_path / "c")
    assert contest.missing() == {3: ["evolution", "random search", "uniformly scaled"]}
    assert [each.seed for each in contest.entrants()] == [4, 4, 4]


def test_entrants_can_be_made_in_parts(made, tmp_path):
    contest = Contest(plan(), tmp_path / "c")
    with pytest.raises(ConfigError, match="evolution, from scratch needs the architecture of evolution, which is mis"):
        run_seed(contest, 3, CPU, quiet(), ["evolution, from scratch"])
    parts = ["uniformly scaled", "evolution"], ["evolution, from scratch"], NAMES
    for names in parts:
        run_seed(contest, 3, CPU, quiet(), names)
        made_so_far = {each.name for each in contest.entrants()}
        assert made_so_far == set(NAMES) if names is NAMES else set(names) <= made_so_far < set(NAMES)
    for name in NAMES:
        ours, theirs = contest.entrant(name, 3), made.entrant(name, 3)
        assert ours.model_copy(update={"seconds": {}}) == theirs.model_copy(update={"seconds": {}})


@pytest.mark.parametrize(
    ("option", "given", "known"),
    [("--entrant", "luck", f"entrants of {{}} are: {', '.join(NAMES)}"), ("--seed", "9", "seeds of {} are 3, 4")],
)
def test_unknown_entrants_and_seeds_are_refused(option, given, known, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(plan().model_dump_json())
    arguments, options = command(path, tmp_path / "c", option, given)
    done = subprocess.run(arguments, **options, timeout=120)
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {option} {given}: the {known.format(path)}"


def training(network, folder=None, **changes):
    given = {"steps": 40, "rate": 0.05, "clip_norm": 1.0, "every": 4, "patience": None, "seed": 0} | changes
    metric = given.pop("metric", lambda network: sum(float(loss(network, batch)) for batch in batches(-1)))
    return ValidatedTraining(network, loss, batches, metric, given.pop("direction", "minimise"), **given)


def plain(hidden=8):
    torch.manual_seed(0)
    return Net(Sizes(hidden=hidden, depth=2))


def test_the_weights_of_the_best_validation_are_kept():
    """Metrics are dictated; the best is the third of ten, at step 12."""
    network, dictated = plain(), iter([5.0, 4.0, 1.0, float("nan"), 2.0, 3.0, 1.0, 9.0, 9.0, 9.0])
    work = training(network, metric=lambda network: next(dictated))
    states = {}
    while not work.done:
        work.advance()
        states[work.step] = {name: value.clone() for name, value in network.state_dict().items()}
    work.finish()
    assert (work.best, work.best_step, work.validations, work.step) == (1.0, 12, 10, 40)
    assert all(torch.equal(value, states[12][name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("direction", "ends"), [("minimise", 20), ("maximise", 12)])
def test_patience_ends_the_training(direction, ends):
    dictated = iter([5.0, 4.0, 3.0, 3.5, 3.6, 3.7, 3.8])  # best at the third, or at the first
    work = training(plain(), metric=lambda network: next(dictated), direction=direction, patience=2)
    while not work.done:
        work.advance()
    assert work.step == ends


def test_it_trains_as_plain_training_does():
    one, other = plain(), plain()
    work = training(one)
    oracle = PlainTraining(
        other,
        loss,
        batches,
        steps=40,
        rate=lambda step: 0.05 * warm_cosine(step, 40, 2),
        clip_norm=1.0,
        seed=0,
        identity={},
    )
    drive(work, Run(), "train", 100)
    drive(oracle, Run(), "train", 100)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_is_resumed_with_its_best_weights(tmp_path):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.step == 22:
            raise Stop

    whole = training(plain())
    drive(whole, Run(), "train", 5)
    with pytest.raises(Stop):
        drive(training(plain()), Run(tmp_path, progress=stop), "train", 5)
    resumed = training(network := plain())
    drive(resumed, Run(tmp_path, resume=True), "train", 5)
    whole.finish()
    resumed.finish()
    assert (resumed.best, resumed.best_step) == (whole.best, whole.best_step)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), whole.network.parameters(), strict=True))


def test_flops_by_hand_are_those_of_the_library():
    assert count_flops(plain(8), torch.zeros(1, 4)) == flops(8, 2)


def test_seeds_in_processes_equal_seeds_in_this_one(made, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(plan().model_dump_json())
    contest = Contest(plan(), tmp_path / "c")
    assert run_seeds(contest, path, [4], NAMES, 1, 1, "cpu", quiet()) == {}
    for name in NAMES:
        ours, theirs = contest.entrant(name, 4), made.entrant(name, 4)
        assert ours.model_copy(update={"seconds": {}}) == theirs.model_copy(update={"seconds": {}})


def test_the_plans_of_page_and_example_are_plans():
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "compare.md").read_text(), re.S)
    shown, example = parse_yaml(block), read_plan(ROOT / "examples" / "compare_charlm.yaml")
    assert ContestPlan.model_validate(shown).supernet.steps == 2000
    assert example.made(0, CPU).name == "charlm"
