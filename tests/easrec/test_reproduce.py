"""The paper's experiment: methods, the matrix of runs, figures and tables."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from easrec.config import Config
from easrec.data import prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.reproduce import METHODS, SCALES, TABLES, matrix, methods_of
from easrec.reproduce.collect import Measured, best_of, collect, differs, unfinished
from easrec.reproduce.efficiency import measure
from easrec.reproduce.figure import metric
from easrec.reproduce.matrix import run_matrix
from easrec.reproduce.published import EFFICIENCY, GATES, OVERALL, dataset_of
from easrec.reproduce.reproduce import cells_of
from easrec.reproduce.tables import differences, efficiency, gates, lambdas, network_of, overall, write
from easrec.result import SearchPart
from elasticnas.errors import CheckpointError, ConfigError
from tests.easrec.results import metrics, network, run_result, search

TINY = {
    "model.hidden": 8,
    "model.inner": 8,
    "model.length": 10,
    "model.layers": 1,
    "model.heads": 2,
    "search.epochs": 1,
    "search.random_architectures": 1,
    "train.epochs": 1,
}


def test_every_method_is_a_configuration_with_a_name_of_its_own():
    assert len({method.name for method in METHODS}) == len(METHODS)
    for scale in SCALES:
        for cell in cells_of(METHODS, 1, scale, {}, Path("x")):
            backbone = cell.config.model.backbone
            assert cell.config.compare == () and (backbone == "sasrec" or cell.method.name.startswith(backbone))
    for table in TABLES:
        assert len(methods_of(table, True)) >= 3
    with pytest.raises(ConfigError, match="--table 6: choose one of 3, 4, 5, fig4, differences, all"):
        methods_of("6", True)
    with pytest.raises(ConfigError, match="--scale huge: choose one of full, small"):
        cells_of(METHODS, 1, "huge", {}, Path("x"))


@pytest.mark.parametrize("scale", SCALES)
def test_no_two_methods_are_the_same_run(scale):
    settings = {}
    for cell in cells_of(METHODS, 1, scale, {}, Path("x")):
        same = settings.setdefault(cell.config.model_dump_json(), cell.method.name)
        assert same == cell.method.name
    names = {method.name for method in methods_of("differences", False)}
    assert {"easrec", "blocks", "lambda-0.1", "lambda-range-0.1"} <= names


def test_every_row_of_the_paper_is_there():
    rows = {method.paper for method in METHODS if "3" in method.tables and method.paper}
    for published in (*OVERALL.values(), *EFFICIENCY.values()):
        assert published.keys() == rows
    assert GATES.keys() == {method.paper for method in METHODS if "5" in method.tables}
    assert {m.name for m in methods_of("3", True)} - {m.name for m in methods_of("3", False)} == {
        f"{backbone}{attention}" for backbone in ("fdsa", "sasrecf") for attention in ("", "-linrec")
    }
    weights = [
        cell.config.search.penalty_weight for cell in cells_of(methods_of("fig4", True), 1, "full", {}, Path("x"))
    ]
    assert len(set(weights)) >= 6 and weights == sorted(weights)


def test_networks_that_nothing_searches_train_as_long_as_those_that_inherit():
    for cell in cells_of(METHODS, 1, "small", {}, Path("x")):
        small = SCALES["small"]
        afresh = cell.method.name in ("from-scratch", "easrec-largest") or cell.config.search.strategy == "none"
        extra = small["search"]["epochs"] if afresh else 0
        assert cell.config.train.epochs == small["train"]["epochs"] + extra


def test_datasets_of_table_i_are_known_by_their_counts():
    assert dataset_of(6_040, 3_706) == "ml-1m" and dataset_of(943, 1_682) is None


NDCG = metric("test", "unseen", "ndcg@10")


def measured(name, values, flops=2e6, seeds=None, missing=(), warnings=None, **last):
    """Networks of one and of two layers in turns; ``last`` changes the last one's architecture."""
    method = next(method for method in METHODS if method.name == name)
    attention = {"model.attention_choices": ["linrec", "hstu"]} if last else {}
    config = Config().updated({**method.changes, **attention, "compare": []})
    kind = {"attention": "linrec"} if last else {}
    results = []
    for number, value in enumerate(values):
        sizes = {"depth": 1 + number % 2, **kind, **(last if number == len(values) - 1 else {})}
        networks = {"largest": network(config, flops=4e6, **kind), "found": network(config, value, flops, **sizes)}
        result = run_result(config, networks=networks)
        if warnings:
            result = run_result(
                config, networks=networks, search=SearchPart(result=search(config, [warnings[number]], **kind))
            )
        results.append(result)
    return Measured(method, tuple(seeds or range(len(values))), tuple(results), missing)


def test_welch_by_a_hand_count():
    # t = -3 / sqrt(2/3) = -3.674, 4 degrees of freedom
    one, other = measured("easrec", [1.0, 2.0, 3.0]), measured("darts", [4.0, 5.0, 6.0])
    assert differs(one, other, NDCG) == pytest.approx(0.02131, abs=1e-4)
    assert differs(one, measured("darts", [4.0]), NDCG) is None
    same = measured("darts", [2.0, 2.0])
    assert differs(same, measured("easrec", [3.0, 3.0]), NDCG) is None
    assert best_of([one, other], NDCG) is other


def test_a_star_needs_a_test_and_the_paper_stands_below(tmp_path):
    rows = [
        measured("easrec", [0.50, 0.51, 0.52]),
        measured("darts", [0.1, 0.12, 0.11]),
        measured("sasrec", [0.2, 0.1, 0.15]),
    ]
    sheet = overall(rows, "ml-1m", "pop100")
    assert [row[0] for row in sheet.rows] == [
        "EASRec",
        "*paper*",
        "DARTS + SASRec",
        "*paper*",
        "SASRec (w/o LinRec)",
        "*paper*",
    ]
    assert sheet.rows[0][3:9] == ["**0.5100 ± 0.0100**\\*"] * 6 and sheet.rows[1][3] == "*0.7152*"
    assert sheet.rows[0][9] == "-" and float(sheet.rows[2][9]) < 0.01
    assert sheet.rows[0][1] == "8, 16, 1 (2 of 3)" and sheet.rows[2][3] == "0.1100 ± 0.0100"
    close = overall([measured("easrec", [0.5, 0.1]), measured("darts", [0.4, 0.1])], None, "pop100")
    assert close.rows[0][3] == "**0.3000 ± 0.2828**" and len(close.rows) == 2
    single = overall([measured("easrec", [0.5]), measured("darts", [0.4])], "ml-1m", "unseen")
    assert single.rows[0][3] == "**0.5000**" and len(single.rows) == 6  # the paper has pop100 only
    assert [row[0] for row in single.rows[2:]] == [
        f"*{name}, published*" for name in ("SASRec", "HSTU", "HSTU-large", "HSTU-large + MoL")
    ]
    assert single.rows[2][6:] == ["*0.2853*", "", "*0.1603*", ""]
    text = write(sheet, tmp_path)
    assert "| EASRec |" in text and "p < 0.05" in text
    with (tmp_path / "table3-pop100.csv").open() as file:
        read = list(csv.DictReader(file))
    first = read[0] | {"mean": round(float(read[0]["mean"]), 6), "p": float(read[0]["p"]) < 0.01}
    assert first["method"] == "EASRec" and first["figure"] == "found/validation/pop100/recall@10"
    assert (first["mean"], first["p"], first["compared_with"]) == (0.51, True, "SASRec (w/o LinRec)")
    tested = [row for row in read if row["p_against"]]
    assert {row["figure"] for row in tested} == {"found/test/pop100/ndcg@10"} and tested[0]["against"] == "EASRec"
    assert {(row["figure"], row["mean"]) for row in read if row["source"] == "paper"} >= {
        ("found/validation/pop100/recall@10", "0.7152")
    }
    figures = json.loads((tmp_path / "table3-pop100.json").read_text())["rows"]
    assert figures[0]["found/test/pop100/ndcg@10"]["values"] == [0.50, 0.51, 0.52] and figures[0]["paper"]


def test_missing_seeds_are_said():
    sheet = overall([measured("easrec", [0.5], missing=(1, 3)), measured("darts", [0.4, 0.3])], None, "full")
    assert sheet.notes[-1] == "EASRec: seeds 1, 3 are missing."


def test_a_star_is_against_the_other_family():
    """EASRec's forms are no rivals of each other, and neither are two baselines."""
    rows = [
        measured("easrec", [0.500, 0.501, 0.502]),
        measured("easrec-softmax", [0.501, 0.502, 0.503]),
        measured("darts", [0.1, 0.12, 0.11]),
    ]
    figures = overall(rows, None, "unseen").figures
    best = figures[1]["found/test/unseen/ndcg@10"]
    assert best["compared_with"] == "DARTS + SASRec" and best["p"] < 0.001
    assert "p" not in figures[0]["found/test/unseen/ndcg@10"] and best["p_against"] > 0.05


def test_warnings_and_different_architectures_are_shown():
    said = ["depth is open", "depth is open", "x"]
    undecided = measured("darts", [0.1, 0.2, 0.3], warnings=said, depth=3, attention="hstu")
    sheet = overall([measured("easrec", [0.5, 0.5]), undecided], None, "pop100")
    assert "DARTS + SASRec, seed 0, 1: depth is open" in sheet.notes and "DARTS + SASRec, seed 2: x" in sheet.notes
    assert sheet.rows[1][1] == "8, 16, 1, linrec (1); 8, 16, 2, linrec (1); 8, 16, 3, hstu (1)"


def test_other_tables():
    table5 = gates(
        [measured("gates-2", [0.5]), measured("gates-1", [0.4]), measured("gates-0", [0.3], flops=1e6)], "ml-1m"
    )
    assert [row[0] for row in table5.rows] == ["2 layers", "1 layer", "no gates"]
    assert table5.rows[2][2:4] == ["1.00", "4.00"] and table5.rows[2][-1] == "0.4615"
    several = gates([measured("gates-2", [0.5, 0.51]), measured("gates-0", [0.1, 0.11])], None)
    assert several.rows[0][7] == "-" and float(several.rows[1][7]) < 0.01
    fig4 = lambdas([measured("lambda-0.1", [0.5]), measured("lambda-3", [0.4], flops=1e6)])
    assert [row[0] for row in fig4.rows] == ["0.1", "3"] and fig4.rows[1][3] == "25%"
    unsearched = measured("easrec-largest", [0.3, 0.31])
    open_points = differences([measured("easrec", [0.5, 0.51]), measured("from-scratch", [0.1, 0.11]), unsearched])
    assert [row[-1] for row in open_points.rows] == ["1.0", "1.0", "0.0"]  # minutes of search
    assert open_points.rows[0][6:9] == ["-", "-", "-"] and open_points.rows[1][6] == "EASRec"
    assert max(map(float, open_points.rows[1][7:9])) < 0.01
    # what lambda is relative to: against the same lambda, not against EASRec, whose search has a budget
    ranges = differences(
        [measured("easrec", [0.9, 0.91]), measured("lambda-0.1", [0.5, 0.51]), measured("lambda-flops", [0.1, 0.11])]
    )
    assert ranges.rows[2][6] == "no budget, lambda 0.1" and float(ranges.rows[2][7]) < 0.01
    assert any("equals 4.0e+05 for the largest" in note for note in ranges.notes)


def test_table_iv_has_a_row_for_every_network_and_the_papers_figures(tmp_path):
    easrec, hand = measured("easrec", [0.5, 0.5, 0.5]), measured("sasrec", [0.4])
    passes = {"memory_bytes": [2e6, 2e6, 2e6], "weights_bytes": [1e6]}
    taken = {
        network_of(easrec, "8, 16, 1"): passes | {"seconds": [1.0, 1.1, 1.2]},
        network_of(easrec, "8, 16, 2"): passes | {"seconds": [1.0, 1.1, 1.2]},
    }
    broken = {network_of(hand, "8, 16, 1"): "no weights"}
    sheet = efficiency([easrec, hand], taken, broken, "ml-1m", "how")
    assert [row[1] for row in sheet.rows] == ["8, 16, 1 (2 of 3)", "8, 16, 2 (1 of 3)"]
    assert sheet.rows[0][3:6] == ["1.100 ± 0.100", "-", "2.0 ± 0.0"] and sheet.rows[1][4] == "1.000"
    assert sheet.rows[0][-2:] == ["14.8", "11.07"] and any("sasrec 8, 16, 1: its network" in n for n in sheet.notes)
    write(sheet, tmp_path)
    with (tmp_path / "table4.csv").open() as file:
        read = [row for row in csv.DictReader(file) if row["source"] == "paper"]
    assert [(row["figure"], row["mean"]) for row in read[:2]] == [("seconds", "14.8"), ("gigabytes in all", "11.07")]


def test_a_network_that_cannot_be_read_stops_no_other(tmp_path):
    planted(users=8, items=6, categories=2, length=4).write(tmp_path / "log.tsv")
    prepare(read_interactions(tmp_path / "log.tsv"), 0, 0, "log.tsv").save(tmp_path / "data.npz")
    found, broken = measure({"sasrec 8": tmp_path / "nowhere"}, tmp_path / "data.npz", "cpu", 8, 1)
    assert found == {} and "nowhere" in broken["sasrec 8"]


@pytest.mark.parametrize(
    ("dataset", "seconds", "memory"),
    [
        ("ml-1m", (19.1, 84.1), (4.6, 75.5)),  # "1.9" there: a digit is lost
        ("gowalla", (0.9, 58.9), (13.3, 74.4)),
        ("douban", (14.6, 87.6), (31.8, 91.1)),
    ],
)
def test_published_costs_give_the_papers_savings(dataset, seconds, memory):
    """Its row "Imprv." of Table IV: the least and the most that EASRec saves, in percent of the others."""
    rows = EFFICIENCY[dataset]
    for position, saved in enumerate((seconds, memory)):
        own = rows["Ours"][position]
        others = sorted(100 * (1 - own / values[position]) for name, values in rows.items() if name != "Ours")
        assert (others[0], others[-1]) == (pytest.approx(saved[0], abs=0.11), pytest.approx(saved[1], abs=0.11))


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    planted(users=60, items=24, categories=4, length=9).write(folder / "log.tsv")
    items = [
        f"{row.split()[1]}\t{'even|all' if number % 2 else 'all'}"
        for number, row in enumerate((folder / "log.tsv").read_text().splitlines()[1:])
    ]
    (folder / "items.tsv").write_text(
        "item_id\tgenres\n" + "\n".join({line.split("\t")[0]: line for line in items}.values()) + "\n"
    )
    changes = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    return folder, [
        "easrec",
        "reproduce",
        "--data",
        folder / "log.tsv",
        "--scale",
        "small",
        "--jobs",
        2,
        "--out",
        folder / "out",
        *changes,
    ]


@pytest.mark.slow
def test_the_matrix_runs_fails_goes_on_and_ends_in_tables(main, arguments):
    folder, common = arguments
    features = ["--items", folder / "items.tsv", "--features", "genres"]
    chosen = [word for name in ("sasrec/0", "sasrec/1", "sasrecf/0", "random/0") for word in ("--only", name)]
    # a run that cannot start: its folder holds another one
    blocked = folder / "out" / "runs" / "sasrecf" / "seed-0"
    blocked.mkdir(parents=True)
    (blocked / "run.json").write_text('{"data": "other", "settings": {}}')
    code, said, warned = main(*common, *features, "--table", "3", "--seeds", 2, *chosen)
    assert code == 1 and "1 of the runs failed: sasrecf/0" in warned, said
    assert "failed: sasrecf/0:" in said and "again: --only sasrecf/0" in said
    page = (folder / "out" / "table3.md").read_text()
    assert "Runs that failed:\n\n* sasrecf/0: " in page and "| Random search + SASRec |" in page
    assert "Random search + SASRec: seeds 1 are missing" in page and "Not run yet: easrec/0, darts/0" in page
    code, said, warned = main(*common, *features, "--table", "3", "--seeds", 1, "--tables-only")
    page = (folder / "out" / "table3.md").read_text()
    assert code == 0 and "Runs that failed:\n\n* sasrecf/0: " in page  # still, though nobody asked for it now
    assert json.loads((folder / "out" / "table3-full.json").read_text())["rows"][0]["seeds"] == [0, 1]
    result = folder / "out" / "runs" / "sasrec" / "seed-0" / "result.json"
    done = json.loads(result.read_text())
    assert done["search"] is None
    # the page tells where the runs ran, not where it was written
    done["environment"]["commit"] = "of-another-day"
    result.write_text(json.dumps(done))
    before = result.stat().st_mtime_ns
    (blocked / "run.json").unlink()
    code, said, warned = main(*common, *features, "--table", "3", "--seeds", 2, "--only", "sasrecf/0")
    assert code == 0, warned
    page = (folder / "out" / "table3.md").read_text()
    assert "failed" not in page and "of-another-day; " in page and result.stat().st_mtime_ns == before
    assert (folder / "out" / "accuracy-flops.png").read_bytes().startswith(b"\x89PNG")
    report = (folder / "out" / "report.html").read_text()
    assert "Error bars: 95% intervals of the mean over 1 to 2 seeds" in report and "Found architectures" in report
    assert not list((folder / "out" / "runs").rglob("report.html"))
    code, said, warned = main(*common, *features, "--table", "4", "--seeds", 1, "--only", "sasrec/0")
    assert code == 0, warned
    rows = json.loads((folder / "out" / "table4.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"sasrec", "sasrecf", "random"}
    assert all(row[key]["mean"] > 0 for row in rows for key in ("seconds", "memory_bytes", "weights_bytes"))
    assert len(rows[0]["seconds"]["values"]) == 5 and len(rows[0]["memory_bytes"]["values"]) == 3
    taken = (folder / "out" / "inference.json").read_bytes()
    (folder / "out" / "runs" / "sasrec" / "seed-0.old").mkdir()  # put aside by hand
    code, _, warned = main(*common, *features, "--table", "4", "--tables-only")
    assert code == 0 and (folder / "out" / "inference.json").read_bytes() == taken, warned
    index = (folder / "out" / "README.md").read_text()
    assert "(table3.md)" in index and "(table4.md)" in index and "(all.md)" not in index
    code, _, warned = main(*common, "--table", "3", "--only", "sasrec/0")
    assert code == 1 and "holds runs on other data" in warned


def test_each_open_choice_changes_what_it_says():
    cells = {cell.method.name: cell.config for cell in cells_of(METHODS, 1, "small", {}, Path("x"))}
    base = cells["easrec"]
    for name, changed in (
        ("from-scratch", {"train.inherit": False, "train.epochs": 12}),
        ("blocks", {"model.mixing": "block"}),
        ("training-batches", {"search.architecture_data": "training"}),
        ("gates-after", {"model.gate_position": "after"}),
        ("lambda-0.1", {"search.penalty_weight": 0.1, "search.budget": None}),
        ("lambda-range-0.01", {"search.cost_unit": "range", "search.penalty_weight": 0.01, "search.budget": None}),
        ("lambda-flops", {"search.cost_unit": "flops", "search.penalty_weight": 0.1, "search.budget": None}),
    ):
        assert cells[name] == base.updated(changed) and cells[name] != base


def test_mistakes_are_one_line(main, arguments, tmp_path):
    _, common = arguments
    common = [*common, "--out", tmp_path]
    for options, message in (
        (["--only", "sasrek"], "--only sasrek: no such run; methods are easrec, darts"),
        (["--table", "9"], "--table 9: choose one of"),
        (["--scale", "x"], "--scale x: choose one of full, small"),
        (["--set", "model.gate_layers=1"], "--set model.gate_layers: it differs between methods"),
        (["--set", "model.depht=1"], "unknown setting 'model.depht'"),
        (["--features", "genres"], "give it by --items"),
        (["--set", "model={gate_layers: 1}"], "--set model.gate_layers: it differs between methods"),
        (
            ["--set", "cutoffs=[5, 20]", "--set", "early_stopping_metric=unseen/ndcg@5"],
            "--set cutoffs=[5, 20]: the tables show metrics at 10",
        ),
        (["--tables-only"], "no run of --table 3 --scale small is done there"),
    ):
        code, _, warned = main(*common, *options)
        assert code == 1 and message in warned and "Traceback" not in warned, warned
    assert not (tmp_path / "runs").exists()


def keep(cell, result):
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / "result.json").write_text(json.dumps(result.to_dict()))


def test_a_result_of_other_settings_is_not_taken(tmp_path):
    cell = cells_of(methods_of("5", True), 1, "small", {}, tmp_path)[0]
    keep(cell, run_result(cell.config.updated({"seed": 5})))
    with pytest.raises(CheckpointError, match=r"has other settings than easrec/0 now"):
        cell.result()
    lacking = run_result(cell.config).to_dict()
    del lacking["networks"]["found"]["metrics"]["test"]["unseen"]["mrr@10"]
    path = cell.folder / "result.json"
    for content, message in (
        (lacking, r"networks.found has no test/unseen/mrr@10; or delete the folder to run it again"),
        ({"format": 2, "config": {"epochs": 1}}, r"result.json: damaged run result, Config: epochs: .*; or delete"),
        ({"config": {}, "found/flops": 1}, r"format 1, .*convert it with .*convert_results\.py of .*; or delete"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=message):
            cell.result()
    path.write_text("{")
    failed = run_matrix([cell], tmp_path / "data.npz", 1, 1, "cpu", lambda *_: None)
    assert failed[0][0] is cell and "damaged" in failed[0][1]
    assert collect([cell]) == [] and "damaged" in unfinished([cell])[0]["easrec/0"]


def test_a_run_is_done_when_every_network_is_trained(tmp_path):
    cell = cells_of(methods_of("5", True), 1, "small", {"compare": ["largest"]}, tmp_path)[0]
    keep(cell, run_result(cell.config))
    assert cell.result() is None and collect([cell]) == []
    both = {name: network(cell.config, 0.5) for name in ("largest", "found")}
    done = run_result(cell.config, networks=both)
    keep(cell, done)
    assert cell.result() == done


def test_a_run_that_cannot_start_is_a_failure_of_its_own(tmp_path, monkeypatch):
    def refuse(command, **_):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    cells = cells_of(methods_of("5", True), 1, "small", {}, tmp_path)[:2]
    failed = run_matrix(cells, tmp_path / "data.npz", 1, 1, "cpu", lambda *_: None)
    assert [cell.name for cell, _ in failed] == [cell.name for cell in cells]
    assert all(reason.endswith("Cannot allocate memory") for _, reason in failed)
    assert unfinished(cells)[0] == {cell.name: reason for cell, reason in failed}  # the pages say it too


def test_what_another_process_runs_is_waited_for(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(matrix, "_RETRY_SECONDS", 0.01)
    cells = cells_of(methods_of("5", True), 1, "small", {}, tmp_path)[:2]
    cells[0].folder.mkdir(parents=True)

    def finish(cell):
        keep(cell, run_result(cell.config))

    lines = []
    with (cells[0].folder / "run.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def run(*_):  # the second, meanwhile the other process comes to its end
            finish(cells[1])
            finish(cells[0])
            fcntl.flock(lock, fcntl.LOCK_UN)
            return 0

        monkeypatch.setattr(matrix.Processes, "run", run)
        failed = run_matrix(cells, tmp_path / "data.npz", 1, 1, "cpu", lambda *given: lines.append(given[-1]))
    assert failed == [] and lines == [f"{cells[1].name}: done", f"{cells[0].name}: done"]


def test_a_run_that_is_killed_is_told_so_and_goes_on_alone(tmp_path, monkeypatch):
    cells = cells_of(methods_of("5", True), 1, "small", {}, tmp_path)[:2]
    for code, said in ((-9, "killed by signal SIGKILL"), (-50, "killed by signal 50")):
        monkeypatch.setattr(matrix.Processes, "run", lambda *_, code=code: code)
        failed = run_matrix(cells[:1], tmp_path / "data.npz", 1, 1, "cpu", lambda *_: None)
        assert [reason for _, reason in failed] == [said]
        assert unfinished(cells) == ({cells[0].name: said}, [cells[1].name])

    def finish(*_):
        keep(cells[0], run_result(cells[0].config))
        return 0

    monkeypatch.setattr(matrix.Processes, "run", finish)
    assert run_matrix(cells[:1], tmp_path / "data.npz", 1, 1, "cpu", lambda *_: None) == []
    assert unfinished(cells) == ({}, [cells[1].name])


def test_missing_packages_are_told_before_the_first_run(main, arguments, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, warned = main(*arguments[1], "--out", tmp_path)
    assert code == 1 and "optuna is not installed; pip install 'elasticnas[reproduce]'" in warned
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are read from /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_matrix_ends_its_runs_and_goes_on(number, main, arguments, tmp_path):
    command = [*arguments[1], "--out", tmp_path, "--table", "5", "--seeds", 1, "--only", "gates-0"]
    start = [sys.executable, "-c", "from elasticnas.cli import main; main()", *map(str, command)]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        runs, until = [], time.monotonic() + 60
        while not runs and time.monotonic() < until:
            time.sleep(0.05)
            if (tmp_path / "runs" / "gates-0" / "seed-0" / "log.txt").exists():
                runs = children_of(process.pid)
        process.send_signal(number)
        _, warned = process.communicate(timeout=300)
    assert runs and process.returncode == 128 + number, warned
    assert "finished work is kept, run the same command again to resume" in warned and "Traceback" not in warned
    assert not any(Path(f"/proc/{run}").exists() for run in runs)
    folder = tmp_path / "runs" / "gates-0" / "seed-0"
    assert not (folder / "failed.txt").exists() and not (folder / "result.json").exists()
    code, _, warned = main(*command)
    assert code == 0 and (folder / "result.json").exists(), warned


def children_of(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # has ended
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(path.parent.name))
    return found


def test_plots_of_the_matrix_have_intervals_over_seeds():
    from easrec.reproduce.plots import accuracy_panels, lambda_panels, seeds_note
    from easrec.reproduce.sections import architectures, table_section

    # t of 2 degrees of freedom at 97.5 % is 4.3027; the deviation of 0.1, 0.2, 0.3 is 0.1
    three, one = measured("sasrec", [0.1, 0.2, 0.3], 3e6), measured("easrec", [0.5])
    panel = accuracy_panels([three, one])["Protocol unseen"]
    half = 4.3027 * 0.1 / 3**0.5
    assert panel[0].points == [(3.0, pytest.approx(0.2))]
    assert panel[0].intervals == [pytest.approx((0.2 - half, 0.2 + half), abs=1e-5)]
    assert panel[1].intervals == [None] and panel[2].points == [(2.0, 0.5)]
    assert seeds_note([three, one]) == "Error bars: 95% intervals of the mean over 1 to 3 seeds, Student's t."
    assert seeds_note([one]) == "No error bars: one seed each."
    accuracy, cost = lambda_panels([three])[0].values()
    assert accuracy[0].intervals == panel[0].intervals and cost[0].points[0][1] == pytest.approx(3.0)
    section = table_section("Table III", {"seeds": "0, 1, 2"}, [overall([three, one], None, "pop100")], [three, one])
    charts = [part for part in section.parts if hasattr(part, "series")]
    assert [chart.title for chart in charts] == ["Protocol unseen", "Protocol pop100"]
    grid = next(part for part in section.parts if hasattr(part, "rows"))
    rows = grid.rows
    assert grid.caption == "Table III, pop100" and (1, 3) in grid.bold and (0, 3) not in grid.bold
    assert [row[0] for row in rows] == [three.method.label, one.method.label] and "*" not in rows[1][-2]
    assert [drawn.title for drawn in architectures([one]).parts] == [f"{one.method.label}, seed 0"]


def with_baselines(each, values):
    """The same runs, with popularity at these values (one a seed) and last item at half of them."""
    results = []
    for result, value in zip(each.results, values, strict=True):
        found = {"popularity": metrics(value), "last item": metrics(value / 2)}
        results.append(result.model_copy(update={"baselines": found}))
    return replace(each, results=tuple(results))


def test_popularity_and_last_item_stand_below_the_methods(tmp_path):
    rows = [
        with_baselines(measured("easrec", [0.5, 0.6]), [0.2, 0.3]),
        with_baselines(measured("darts", [0.4], seeds=[1]), [0.3]),
        measured("sasrec", [0.9]),  # of a version without baselines
    ]
    sheet = overall(rows, None, "unseen")
    assert [row[0] for row in sheet.rows[3:]] == ["popularity", "last item"]
    assert sheet.rows[3] == ["popularity", "", "", *["0.2500 ± 0.0707"] * 6, ""]
    assert sheet.rows[4][3] == "0.1250 ± 0.0354" and any("need no training" in note for note in sheet.notes)
    write(sheet, tmp_path)
    with (tmp_path / "table3-unseen.csv").open() as file:
        written = [row for row in csv.DictReader(file) if row["method"] == "popularity"]
    assert {row["figure"] for row in written} >= {"found/test/unseen/ndcg@10"} and written[0]["mean"] == "0.25"
    for other in (gates(rows[:1], None), lambdas(rows[:1]), differences(rows[:1])):
        assert [row[0] for row in other.rows[-2:]] == ["popularity", "last item"]
        assert {len(row) for row in other.rows} == {len(other.head)}
        place = next(n for n, cell in enumerate(other.rows[-2]) if n and cell)
        assert place == next(n for n, name in enumerate(other.head) if "Recall" in name or "NDCG" in name)
