"""Whole runs through the command line."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from easrec.artifact import Recommender
from easrec.data import Interactions, Split, prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.evaluation import Evaluator, draw_negatives
from easrec.result import RunResult
from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.cost import Flops
from elasticnas.errors import CheckpointError, DataError

COMMAND = [sys.executable, "-c", "from elasticnas.cli import main; main()", "easrec"]
TINY = [
    "model.hidden=16",
    "model.inner=16",
    "model.length=12",
    "model.layers=2",
    "model.heads=2",
    "search.epochs=3",
    "search.batch=64",
    "search.update_every=2",
    "search.warmup=0.1",
    "train.epochs=3",
    "train.batch=64",
    "train.patience=3",
    "checkpoint_steps=3",
    "search.random_architectures=2",
    "negatives=20",
]


def easrec(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, **options)


def tiny(command, data, out, *more):
    settings = [part for change in TINY for part in ("--set", change)]
    return [command, "--data", data, "--out", out, "--threads", 1, *settings, *more]


def figures(folder: Path):
    """Everything of a result but clocks and memory."""

    def strip(value):
        if isinstance(value, dict):
            return {
                k: strip(v)
                for k, v in value.items()
                if "seconds" not in k and "latency" not in k and k not in ("created", "command", "peak_memory_bytes")
            }
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(json.loads((folder / "result.json").read_text()))


def result_of(folder: Path):
    return RunResult.from_dict(json.loads((folder / "result.json").read_text()))


@pytest.fixture(scope="module")
def interactions(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "planted.tsv"
    planted(users=300, items=48, categories=4, length=12).write(path)
    return path


@pytest.fixture(scope="module")
def finished(interactions, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    done = easrec(*tiny("run", interactions, out))
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_run_ends_in_a_table_and_a_result(finished):
    out, printed = finished
    for text in ("found by", "random", "largest", "latency, ms", "test, full", "last", "result.json"):
        assert text in printed
    facts = ("read: ", "data: ", "test targets ", "interactions: ")  # one line each, also in a pipe
    others = [line for line in printed.splitlines()[:-10] if not line.startswith(facts)]
    assert len(printed.splitlines()) < 45 and max(map(len, others)) <= 80
    # a third of the generated targets are repeats
    assert "steering by full/ndcg@10" in " ".join(printed.split())
    result = result_of(out)
    networks = result.networks
    sentence = " ".join(printed.split("\n\n")[-1].split())
    assert sentence.startswith(f"The search found a network of {networks['found'].architecture.depth} layer")
    assert f"with {networks['found'].flops / networks['largest'].flops:.0%} of the FLOPs of the largest" in sentence
    found, random = (networks[name].metrics["test"]["full"]["ndcg@10"] for name in ("found", "random"))
    assert (
        f"a test full/ndcg@10 of {found:.4f} (network of random search" in sentence and f": {random:.4f}; " in sentence
    )
    assert sentence.endswith(f"the plot is {out / 'pareto.png'}.") and (out / "pareto.png").stat().st_size > 10_000
    limit = result.search.result.limits["flops"]
    assert networks["found"].flops <= 0.5 * networks["largest"].flops == limit
    for network in ("largest", "found", "random"):
        for stage in ("validation", "test"):
            for protocol in ("full", "unseen", "pop100", "uni100"):
                assert 0 <= result.figure(network, stage, protocol, "ndcg@10") <= 1
    for one, other in (("found", "random"), ("found", "largest"), ("random", "largest")):
        same = networks[one].architecture == networks[other].architecture
        assert same == (networks[one].latency_ms == networks[other].latency_ms)
    assert result.complete and result.data.statistics.users == 300 and len(result.data.fingerprint) == 64
    assert {"torch", "elasticnas", "python", "threads", "processor", "commit"} <= result.environment.keys()
    assert result.environment["command"].endswith("--set search.random_architectures=2 --set negatives=20")
    page = (out / "result.md").read_text()
    assert f"| test pop100 ndcg@10 | {result.figure('largest', 'test', 'pop100', 'ndcg@10'):.4f} |" in page
    assert "* `model.layers`: 2 (default 4)" in page and "* seed: 0" in page


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killing_a_run_at_random_moments_changes_no_figure(interactions, finished, tmp_path, kills):
    expected = figures(finished[0])
    rng, killed, compared, stages = random.Random(0), 0, 0, set()
    while killed < kills or not compared:
        out = tmp_path / f"out{compared}"
        command = [*COMMAND, *map(str, tiny("run", interactions, out, "--resume"))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # start-up takes seconds: wait for the folder's next write, then a random while
        before = newest(out)
        while process.poll() is None and newest(out) == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        if killed < kills and process.poll() is None:
            process.send_signal(signal.SIGINT if killed % 3 == 1 else signal.SIGKILL)
            killed += 1
            stages.add("train" if (out / "supernet.ckpt").exists() else "search")
        _, said = process.communicate()
        if process.returncode == 0:
            assert figures(out) == expected
            compared += 1
        else:
            assert process.returncode in (-signal.SIGKILL, 130), said
    assert "search" in stages  # the first checkpoint is the search's


def newest(folder: Path) -> float:
    """When one of the stages has last kept something."""
    times = []
    for pattern in ("*/checkpoint", "supernet.ckpt"):
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # the search discards its own
                times.append(path.stat().st_mtime_ns)
    return max(times, default=0)


@pytest.mark.slow
def test_stages_one_by_one_give_the_same_figures(interactions, finished, tmp_path):
    out, _ = finished
    prepared, staged = tmp_path / "data.npz", tmp_path / "out"
    assert easrec("prepare", "--data", interactions, "--out", prepared).returncode == 0
    searched = easrec(*tiny("search", prepared, staged))
    assert searched.returncode == 0 and "found:" in searched.stdout, searched.stderr
    assert easrec("retrain", "--out", staged, "--threads", 1).returncode == 0
    assert figures(staged) == figures(out)
    evaluated = easrec("evaluate", "--out", staged, "--threads", 1, "--all")
    result = result_of(staged)
    assert f"{result.figure('found', 'test', 'pop100', 'ndcg@10'):.4f}" in evaluated.stdout
    flat = json.loads(easrec("evaluate", "--out", staged, "--threads", 1, "--popularity", 0.3, "--json").stdout)
    found = result.networks["found"].metrics
    assert flat.keys() == {
        f"{stage}/{protocol}/{name}" for stage in found for protocol in found[stage] for name in found[stage][protocol]
    }
    assert flat["test/unseen/ndcg@10"] != result.figure("found", "test", "unseen", "ndcg@10")
    refused = easrec(*tiny("run", prepared, staged))
    assert refused.returncode == 1 and "holds a run already; --resume continues it" in refused.stderr
    other = easrec(*tiny("run", prepared, staged, "--resume", "--seed", 5))
    assert other.returncode == 1 and "settings (seed was 0, is 5)" in other.stderr


def test_recommendations_are_original_ids(finished, interactions):
    out, _ = finished
    answer = easrec("recommend", "--out", out, "--user", "user-00007", "--top", 3, "--json")
    assert answer.returncode == 0, answer.stderr
    items = json.loads(answer.stdout)["items"]
    seen = {line.split("\t")[1] for line in interactions.read_text().splitlines() if line.startswith("user-00007\t")}
    assert len(items) == 3 and all(item.startswith("item-") for item in items) and not seen & set(items)
    table = easrec("recommend", "--out", out, "--history", f"{items[0]},{items[1]}")
    assert table.returncode == 0 and "item-" in table.stdout
    for wrong, message in (
        (
            ("--user", "nobody"),
            rf"unknown user 'nobody'; the data has 300 users, such as (user-\d{{5}}, ){{2}}user-\d{{5}}; "
            f"elasticnas easrec ids users --out {out} lists them",
        ),
        ((), "give --user, --users all, --history or --stream"),
    ):
        refused = easrec("recommend", "--out", out, *wrong)
        assert refused.returncode == 1 and re.fullmatch(f"error: {message}\n", refused.stderr), refused.stderr


def test_ids_that_exist_are_listed(main, finished, interactions):
    columns = [*zip(*(line.split("\t")[:2] for line in interactions.read_text().splitlines()[1:]), strict=True)]
    for kind, known in zip(("users", "items"), columns, strict=True):
        code, listed, _ = main("easrec", "ids", kind, "--out", finished[0])
        assert code == 0 and len(listed.splitlines()) == len({*known}) and {*listed.splitlines()} == {*known}


def test_recommenders_take_original_ids_and_no_numbers(finished):
    recommender, data = Recommender.load(finished[0]), Interactions.load(finished[0] / "data.npz")
    first, second = recommender.recommend([data.item_ids[3:6], data.item_ids[9:10]], top=4)
    for answer, numbers in ((first, [3, 4, 5]), (second, [9])):
        scores = recommender.network.next_item(torch.tensor([numbers]), torch.tensor([len(numbers)]))[0].detach()
        scores[[0, *numbers]] = float("-inf")
        best = scores.argsort(descending=True)[:4].tolist()
        assert [item for item, _ in answer] == [data.item_ids[n] for n in best]
        assert [score for _, score in answer] == pytest.approx(scores[best].tolist(), abs=1e-4)
    known = data.item_ids[3]
    for wrong, message in (
        ([[known, 7]], "item ids are strings, as in the data (got 7, int)"),
        ([known], f"a history is a list of item ids, at least one (got {known!r})"),
        ([[known], []], "a history is a list of item ids, at least one (got [])"),
        ([["nothing"]], "unknown item 'nothing'; the model knows 48 items, such as "),
    ):
        with pytest.raises(DataError) as raised:
            recommender.recommend(wrong, top=3)
        assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


def test_a_recommender_is_loaded_from_the_run_or_from_its_model(finished):
    out, _ = finished
    for folder in (out, str(out), out / "model", str(out / "model")):
        assert Recommender.load(folder).arch == result_of(out).networks["found"].architecture
    with pytest.raises(CheckpointError, match=r"recommender\.json: not found; give the folder of a finished run"):
        Recommender.load(out.parent)


def test_a_saved_model_that_is_damaged_is_refused(finished, tmp_path):
    out, _ = finished
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("architecture.json", "recommender.json"):
        (copy / name).write_bytes((out / "model" / name).read_bytes())
    (copy / "model.safetensors").write_bytes((out / "model" / "model.safetensors").read_bytes()[:-9])
    refused = easrec("recommend", "--out", tmp_path, "--history", "a")
    assert refused.returncode == 1 and "checksum" in refused.stderr and refused.stderr.count("\n") == 1


def test_real_interactions_end_to_end(real_data, tmp_path):
    out = tmp_path / "ml-100k"
    settings = [
        "model.hidden=32",
        "model.inner=64",
        "model.length=100",
        "model.layers=2",
        "model.mixing=mask",
        "model.gate_rank=8",
        "search.epochs=2",
        "search.batch=32",
        "search.update_every=5",
        "search.random_architectures=2",
        "train.epochs=4",
        "train.batch=32",
        "train.learning_rate=0.003",
        "compare=[largest]",
    ]
    changes = [part for change in settings for part in ("--set", change)]
    done = easrec("run", "--data", real_data / "ml-100k.tsv.gz", "--out", out, "--budget", "50%", *changes)
    assert done.returncode == 0, done.stderr
    assert "943" in done.stdout and "1,682" in done.stdout and "100,000" in done.stdout
    result = result_of(out)
    assert result.networks["found"].flops <= 0.5 * result.networks["largest"].flops
    # popularity alone gives about 0.05 and 0.13
    assert result.figure("found", "test", "pop100", "ndcg@10") > 0.2
    recommender, data = Recommender.load(out / "model"), Interactions.load(out / "data.npz")
    example = torch.ones(1, 100, dtype=torch.long)
    split = Split(data)
    negatives = draw_negatives(split.training.counts(split.items), split.complete(), 100, 0)
    evaluator = Evaluator(split.history("test"), split.targets("test"), negatives, 100)
    report = evaluator.evaluate(recommender.network.next_item)
    for protocol, values in report.items():
        assert result.networks["found"].metrics["test"][protocol] == pytest.approx(values, abs=1e-12)
    from easrec.model import supernet

    config = recommender.config
    assert Flops(supernet(config.model, split.items, True), example)(recommender.arch) == result.networks["found"].flops


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--preset", "nothing"], "no preset 'nothing'"),
        (["--set", "model.nothing=1"], "unknown setting 'model.nothing'"),
        (["--set", "model.layers"], "write name=value"),
        (["--set", "cutoffs=[1"], "--set cutoffs=[1: not a value"),
        (["--set", "cutoffs=[]"], "cutoffs=[]: distinct entries are needed"),
        (["--set", "cutoffs=[10,10]"], "cutoffs=[10, 10]: distinct entries"),
        (["--set", "model.heads=3"], "heads=3 does not divide every hidden size"),
        (["--set", "model.init=-1"], "model.init"),
        (["--set", "seed=-1"], "seed: Input should be greater than or equal to 0"),
        (["--set", "seed=99999999999999999999"], "seed"),
        (["--budget", "1%"], "smallest"),
        (["--budget", "50"], "; for that share of the largest write '50%'"),
        (["--budget", "101%"], "up to 100%"),
        (["--budget", "half"], "budget"),
        (["--device", "cuda:7"], "not available here"),
        (["--device", "meta"], "--device meta: not available here"),
        (["--item", "movie"], "no column 'movie'; the columns are user_id, item_id, timestamp"),
        (["--format", "xml"], "format 'xml' is unknown"),
        (["--set", "min_user=1000"], "no user is left"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(main, interactions, tmp_path, settings, message):
    out = tmp_path / "o"
    code, _, printed = main("easrec", "run", "--data", interactions, "--out", out, *settings)
    assert code == 1 and message in printed and printed.count("\n") == 1 and len(printed) < 500
    assert not out.exists()


def test_no_data_is_refused_outside_the_demo(main, tmp_path):
    code, _, printed = main("easrec", "run", "--preset", "ml-1m", "--out", tmp_path / "o")
    assert code == 1 and "--preset ml-1m needs --data" in printed and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([3] * 20, "0 users have two training items or more"), ([9], "1 users have two"), ([9, 3, 3], "1 users have two")],
)
def test_too_few_users_to_search_on(main, tmp_path, lengths, message):
    path = tmp_path / "log.csv"
    rows = [f"u{user},i{(user + step) % 9}" for user, length in enumerate(lengths) for step in range(length)]
    path.write_text("\n".join(["user_id,item_id", *rows]))
    code, _, printed = main("easrec", "run", "--data", path, "--out", tmp_path / "o", "--budget", "none")
    assert code == 1 and message in printed and printed.count("\n") == 1 and not (tmp_path / "o").exists()


def test_short_users_are_never_the_only_ones_held_out(main, tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"u{u},i{(u + step) % 9}" for u, n in enumerate([3] * 8 + [9, 9]) for step in range(n)]
    path.write_text("\n".join(["user_id,item_id", *rows]))
    small = ["model.hidden=16", "model.inner=8", "model.layers=1", "model.length=6"]
    small += ["search.epochs=1", "train.epochs=1"]
    settings = [part for change in [*small, "negatives=3", "compare=[]"] for part in ("--set", change)]
    for seed in (1, 2, 3):
        out = tmp_path / f"o{seed}"
        code, _, printed = main(
            "easrec", "run", "--data", path, "--out", out, "--seed", seed, "--budget", "none", *settings
        )
        assert code == 0 and (out / "result.json").exists(), printed


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ([], (0, 0)),
        (["--preset", "gowalla"], (5, 5)),
        (["--preset", "gowalla", "--min-user", 0, "--min-item", 3], (0, 3)),
        (["--min-item", 2], (0, 2)),
    ],
)
def test_a_preset_says_what_to_filter_and_options_win(main, interactions, tmp_path, options, least):
    prepared = tmp_path / "data.npz"
    code, _, said = main("easrec", "prepare", "--data", interactions, "--out", prepared, *options)
    assert code == 0, said
    found = Interactions.load(prepared).statistics
    assert (found.min_user, found.min_item) == least


def test_an_unknown_preset_to_prepare_for_is_refused(main, interactions, tmp_path):
    options = ["--data", interactions, "--out", tmp_path / "data.npz", "--preset", "goodreads"]
    code, _, said = main("easrec", "prepare", *options)
    assert code == 1 and "no preset 'goodreads'; the presets are authors, default" in said


def test_retrain_takes_resume_though_it_always_resumes(main, tmp_path):
    code, _, said = main("easrec", "retrain", "--out", tmp_path, "--resume")
    assert code == 1 and "no finished search there; run elasticnas easrec search" in said


def test_prepared_data_must_be_prepared_as_asked(main, interactions, tmp_path):
    prepared = tmp_path / "data.npz"
    assert main("easrec", "prepare", "--data", interactions, "--out", prepared)[0] == 0
    for options, message in (
        (["--set", "min_user=1000"], "prepared with --min-user 0 --min-item 0, but min_user=1000"),
        (["--user", "who"], "is prepared already; leave --user out, or give it to prepare"),
        (["--format", "csv"], "is prepared already; leave --format out"),
    ):
        code, _, printed = main("easrec", "run", "--data", prepared, "--out", tmp_path / "o", *options)
        assert code == 1 and message in printed and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "spoiled", ["[]", "5", "null", '"x"', "{", '{"data": "x", "settings": []}', '{"settings": {}}']
)
def test_a_damaged_run_json_is_one_line(main, finished, tmp_path, spoiled):
    for name in ("data.npz", "supernet.ckpt"):
        (tmp_path / name).write_bytes((finished[0] / name).read_bytes())
    (tmp_path / "run.json").write_text(spoiled)
    for command in ("retrain", "evaluate"):
        code, _, printed = main("easrec", command, "--out", tmp_path)
        assert code == 1 and printed.count("\n") == 1 and len(printed) < 600, printed


@pytest.mark.parametrize("spoiled", [{}, {"model": None}, {"model": {}}, {"search": "["}, {"search": "{}"}])
def test_a_supernet_with_a_right_checksum_and_a_wrong_content_is_one_line(main, finished, tmp_path, spoiled):
    for name in ("data.npz", "run.json", "supernet.ckpt"):
        (tmp_path / name).write_bytes((finished[0] / name).read_bytes())
    identity = json.loads((tmp_path / "run.json").read_text())
    whole, _ = load_checkpoint(tmp_path / "supernet.ckpt", identity)
    save_checkpoint(tmp_path / "supernet.ckpt", (whole | spoiled) if spoiled else {}, identity)
    code, _, said = main("easrec", "retrain", "--out", tmp_path)
    assert code == 1 and "supernet.ckpt: damaged (" in said and said.strip().count("\n") == 0, said


def test_other_data_in_the_folder_is_noticed(main, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    planted(users=300, items=48, categories=4, length=12, seed=1).write(tmp_path / "other.tsv")
    prepare(read_interactions(tmp_path / "other.tsv")).save(tmp_path / "out" / "data.npz")
    for command in (["evaluate"], ["retrain"], ["recommend", "--user", "user-00001"]):
        code, _, printed = main("easrec", *command, "--out", tmp_path / "out")
        assert code == 1 and "is not the data of the run in this folder" in printed and printed.count("\n") == 1


def test_a_model_of_another_run_is_noticed(main, finished, tmp_path):
    """As many items, the same sizes: it would answer, with other items."""
    commands = [
        ["evaluate"],
        ["recommend", "--user", "user-00001"],
        ["recommend", "--history", "item-0001"],
        ["recommend", "--stream"],
        ["export", "--to", tmp_path / "model.onnx"],
    ]
    recommender = Recommender.load(finished[0] / "model")
    ids, config = recommender.item_ids, recommender.config
    for name, other, changed, message in (
        (
            "items",
            [ids[0], *reversed(ids[1:])],
            config,
            f"has other items than data.npz ({ids[-1]!r} instead of {ids[1]!r})",
        ),
        (
            "seed",
            ids,
            config.updated({"seed": 9}),
            "belongs to another run than run.json (seed was 0, is 9 in the model)",
        ),
    ):
        out = tmp_path / name
        shutil.copytree(finished[0], out)
        Recommender(recommender.network, recommender.arch, changed, other).save(out / "model")
        for command in commands:
            code, _, printed = main("easrec", *command, "--out", out)
            assert code == 1 and f"{out / 'model'}: {message}; restore the model" in printed, printed
            assert printed.count("\n") == 1
        # without the run beside it a model stands for itself
        (out / "run.json").unlink()
        assert main("easrec", "recommend", "--out", out, "--history", "item-0001", "--json")[0] == 0


def test_a_flipped_setting_of_a_saved_model_is_noticed(main, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    path = tmp_path / "out" / "model" / "recommender.json"
    text = path.read_text()
    for spoiled in (text.replace("item-0001", "item-0999"), text.replace('"heads": 2', '"heads": 4'), "[]", text[:99]):
        path.write_text(spoiled)
        code, _, printed = main("easrec", "recommend", "--out", tmp_path / "out", "--history", "item-0001")
        assert code == 1 and "recommender.json: damaged" in printed and printed.count("\n") == 1


def test_ids_with_commas_blanks_and_markup(main, tmp_path, monkeypatch):
    names = ["it,em", " padded ", "[red]x[/nope]", "ü", '"q"', "e", "f", "g"]
    lines = ["user_id\titem_id", *(f"[/u{u}]\t{names[(u + step) % 8]}" for u in range(12) for step in range(6))]
    (tmp_path / "log.tsv").write_text("\n".join(lines))
    small = ["model.hidden=16", "model.inner=8", "model.layers=1", "model.length=6"]
    small += ["search.epochs=1", "train.epochs=1"]
    settings = [part for change in [*small, "negatives=2", "compare=[]"] for part in ("--set", change)]
    out = tmp_path / "o"
    done = easrec("run", "--data", tmp_path / "log.tsv", "--out", out, "--budget", "none", *settings)
    assert done.returncode == 0, done.stderr
    asked = ["--user", "[/u3]", "--history", '"it,em"," padded ",[red]x[/nope]']
    shown = easrec("recommend", "--out", out, *asked, "--repeats")
    assert shown.returncode == 0 and "[/u3]" in shown.stdout and "[red]x[/nope]" in shown.stdout, shown.stderr
    ascii_only = easrec("recommend", "--out", out, *asked, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ascii_only.returncode == 0, ascii_only.stderr
    everything = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
    assert "--repeats" in easrec("recommend", "--out", out, "--history", everything).stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_an_output_that_is_full_is_one_line(finished):
    with open("/dev/full", "w") as full:
        command = [*COMMAND, "recommend", "--out", str(finished[0]), "--history", "item-0001", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: the output cannot be written")
    assert done.stderr.count("\n") == 1


def test_wrong_usage_exits_2(main):
    assert main("easrec", "nothing")[0] == 2


def test_output_without_a_terminal_has_no_colour_codes(finished):
    assert "\x1b[" not in finished[1]
