"""easrec.run: a run from Python is the run of the command, whatever form the data has."""

import io
import json

import numpy as np
import pandas
import polars
import pytest
from rich.console import Console

import easrec
from easrec.config import Config
from easrec.data import Columns, Interactions, prepare, read_frame
from easrec.data.synthetic import planted
from easrec.result import RunResult
from easrec.source import Source
from elasticnas.errors import BudgetError, CheckpointError, ConfigError, DataError
from tests.easrec.test_pipeline import SIZES, SMALL

QUICK = SMALL | {"search.epochs": 1, "train.epochs": 1, "compare": []}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def frame():
    """Users, items and times of a known log, under columns of other names."""
    made = planted(users=60, items=24, categories=4, length=9).frame
    return made.select(who=made["user"], what=made["item"], when=made["time"].cast(polars.Int64), extra=polars.lit(1))


NAMES = {"user": "who", "item": "what", "time": "when"}


def figures(result):
    """All but clocks and the machine."""
    data = result.to_dict()
    del data["data"]["statistics"]["source"]  # a file of its own, or a frame
    networks = [(n["architecture"], n["flops"], n["params"], n["metrics"]) for n in data["networks"].values()]
    return data["data"], networks, [c["metrics"] for c in data["search"]["result"]["random_tried"]]


@pytest.fixture(scope="module")
def from_the_command(frame, tmp_path_factory):
    """What the command finds in a file of the same interactions."""
    from typer.testing import CliRunner

    from easrec.cli import commands

    folder = tmp_path_factory.mktemp("command")
    frame.write_csv(folder / "log.csv")
    options = [f"--{name}={column}" for name, column in NAMES.items()]
    sizes = [*SIZES, "--set", "search.epochs=1", "--set", "train.epochs=1", "--set", "compare=[]"]
    given = ["run", "--data", str(folder / "log.csv"), "--out", str(folder / "run"), "--budget", "75%", "--seed", "3"]
    done = CliRunner().invoke(commands, [*given, *options, *sizes], catch_exceptions=False)
    assert done.exit_code == 0 and "found by" in done.output
    return RunResult.from_dict(json.loads((folder / "run" / "result.json").read_text()))


def forms(frame, folder):
    frame.write_parquet(folder / "log.parquet")
    columns = {name: frame[name].to_list() for name in frame.columns}
    renamed = frame.select(user="who", item="what", time="when")
    return {
        "text": (str(folder / "log.parquet"), NAMES),
        "polars": (frame, NAMES),
        "lazy": (frame.lazy(), NAMES),
        "pandas": (pandas.DataFrame(columns), NAMES),
        "prepared": (prepare(renamed), {}),
    }


@pytest.mark.parametrize("form", ["text", "polars", "lazy", "pandas", "prepared"])
def test_every_form_of_data_is_the_same_interactions(form, frame, from_the_command, tmp_path):
    data, names = forms(frame, tmp_path)[form]
    source = Source(data, Columns(**names))
    found = source.load("default", Config(), Console(quiet=True))
    assert found.fingerprint == from_the_command.data.fingerprint


def test_it_finds_what_the_command_finds(frame, from_the_command, tmp_path):
    data, names = forms(frame, tmp_path)["text"]
    given = {"budget": "75%", "seed": 3, "settings": QUICK, "device": "cpu"}
    result = easrec.run(data, out=tmp_path / "run", **given, **names)
    assert isinstance(result, RunResult) and figures(result) == figures(from_the_command)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.to_dict()
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_says_what_it_does_where_somebody_looks(frame, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    for name, screen in (("seen", Terminal()), ("unseen", io.StringIO())):
        monkeypatch.setattr("sys.stderr", screen)
        easrec.run(frame, out=tmp_path / name, settings=QUICK, **NAMES)
        shown = screen.getvalue()
        assert ("search: done in" in shown and "train found" in shown) == (name == "seen")
    assert shown == "" and capsys.readouterr().out == ""
    told, console = [], Console(file=io.StringIO(), width=160)
    easrec.run(frame, out=tmp_path / "told", settings=QUICK, progress=told.append, console=console, **NAMES)
    assert {progress.stage for progress in told} >= {"search", "train"} and "search: done in" in console.file.getvalue()


@pytest.mark.parametrize(
    ("error", "message", "given"),
    [
        (ConfigError, "--preset default needs --data; only --preset demo", {"data": None}),
        (ConfigError, "no preset 'demos'; the presets are", {"preset": "demos"}),
        (ConfigError, "unknown setting 'model.layer'", {"settings": {"model.layer": 2}}),
        (BudgetError, "smallest reachable cost", {"budget": "1%"}),
        (ConfigError, "--device gpu: not available here", {"device": "gpu"}),
        (DataError, "no column 'user_id'; the columns are who, what, when, extra", {"user": None}),
        (ConfigError, "--data: an empty list of files; give one or several, or leave it out", {"data": []}),
        (
            DataError,
            "the data is of type dict: give a path, a data frame of polars or pandas, or Interactions",
            {"data": {}},
        ),
        (DataError, "none.csv: no such file", {"data": "none.csv"}),
        (ConfigError, r"--items movies.csv: which columns hold features", {"items": "movies.csv"}),
        (ConfigError, "progress='bar': True for a bar", {"progress": "bar"}),
    ],
)
def test_mistakes_are_one_line(error, message, given, frame, tmp_path):
    with pytest.raises(error, match=message) as raised:
        easrec.run(**{"data": frame, "out": tmp_path / "run", "settings": QUICK, **NAMES, **given})
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_prepared_interactions_have_no_columns_to_choose(frame, tmp_path):
    data = prepare(frame.select(user="who", item="what", time="when"))
    assert isinstance(data, Interactions)
    with pytest.raises(ConfigError, match="the data: is prepared already; leave --user out"):
        easrec.run(data, out=tmp_path, user="who")
    with pytest.raises(DataError, match=r"the data: prepared with --min-user 0 .* but min_user=99"):
        easrec.run(data, out=tmp_path, settings={"min_user": 99})


def test_a_run_in_the_folder_is_continued_only_when_asked(frame, tmp_path):
    first = easrec.run(frame, out=tmp_path, settings=QUICK, **NAMES)
    with pytest.raises(CheckpointError, match="holds a run already; resume=True continues it, or use another folder"):
        easrec.run(frame, out=tmp_path, settings=QUICK, **NAMES)
    again = easrec.run(frame, out=tmp_path, settings=QUICK, resume=True, **NAMES)
    assert figures(again) == figures(first)


ROWS = {"user_id": ["a", "b", None], "item_id": [1, 2, 3]}


def test_frames_are_read_as_files_are():
    times = pandas.to_datetime(["1970-01-01 00:00:01", "1970-01-02 00:00:00", "1970-01-03 00:00:00"])
    made = pandas.DataFrame({"user_id": ["a", "b", "c"], "item_id": [1, "x", 3], "timestamp": times, "z": [set()] * 3})
    read = read_frame(made)
    assert read["item"].to_list() == ["1", "x", "3"]
    assert read["time"].to_list() == [t * 10**9 for t in (1, 86400, 172800)]
    untimed = read_frame(pandas.DataFrame({"u": np.array([7, 8]), "i": pandas.array([1, 2], dtype="Int64")}), "u", "i")
    assert untimed["user"].to_list() == ["7", "8"] and untimed["time"].null_count() == 2


@pytest.mark.parametrize("made", [pandas.DataFrame(ROWS), polars.DataFrame(ROWS)], ids=["pandas", "polars"])
def test_rows_of_frames_are_named(made):
    assert read_frame(made)["user"].to_list() == ["a", "b", None]
    with pytest.raises(DataError, match="the data frame, row 2: the user 'NA'"):
        read_frame(type(made)({"user_id": ["a", "NA", "c"], "item_id": [1, 2, 3]}))
    with pytest.raises(DataError, match="the data frame is empty"):
        read_frame(made[:0])


@pytest.mark.parametrize("options", [["--user", "u1"], ["--history", "a"]])
def test_a_folder_without_a_run_is_named(main, tmp_path, options):
    code, _, said = main("easrec", "recommend", "--out", tmp_path, *options)
    assert code == 1 and ("by --out" in said or "not found; give the folder" in said)
    assert said.count("\n") == 1 and "damaged" not in said
