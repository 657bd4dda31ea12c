"""The targets: each takes an input, and returns, raises an error of ours, or has found a defect."""

import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest.mock import patch

import polars as pl

from easrec.cli.folder import data_of, recommender_of
from easrec.cli.recommend import _as_line, _histories
from easrec.cli.stream import answer_stream
from easrec.data import prepare, read_interactions, read_items
from easrec.presets import load_preset
from easrec.streaming import Live
from elasticnas import load_space
from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.cli.options import changes_of
from elasticnas.errors import ElasticNASError, printable
from elasticnas.run import Run, drive
from elasticnas.settings import read_config, updated
from tests.fuzz.commands import attempt_command
from tests.fuzz.inputs import damaged, json_value, text, yaml_value
from tests.fuzz.tables import drawn_file, drawn_items
from tests.fuzz.world import Counting, World

__all__ = ["KINDS", "attempt"]

_SETTINGS = ("model.layers", "train.batch", "search.options", "search.budget", "cutoffs", "model", "seed", "compare")
_SECOND = 10**9  # nanoseconds


def _configs(world: World, rng: random.Random) -> None:
    """Settings of --set and of a file."""
    key = rng.choice(_SETTINGS) if rng.random() < 0.7 else text(rng)
    if rng.random() < 0.5:
        updated(load_preset("demo"), changes_of([f"{key}={yaml_value(rng)}"]))
    else:
        path = world.folder / "config.yaml"
        path.write_bytes(f"{key}: {yaml_value(rng)}\n".encode("utf-8", "replace"))
        read_config(load_preset("demo"), path)


def _spaces(world: World, rng: random.Random) -> None:
    """Files of spaces."""
    path = world.folder / "space.yaml"
    valid = ["[1, 2]", "[x, y]", "{low: 1, high: 9}", "{per_layer: [1, 2], count: c}", "{fields: {d: [2, 1]}}"]
    options, other = (rng.choice([*valid, yaml_value(rng)]) for _ in range(2))
    body = f"name: {rng.choice(['N', text(rng)])}\nfields: {{a: {options}, b: {other}, c: [3, 2]}}\n"
    made = body.encode("utf-8", "replace")
    path.write_bytes(damaged(rng, made) if rng.random() < 0.3 else made)
    space = load_space(path)
    space.sample(random.Random(0))
    printable(repr(space.largest()))


def _models(world: World, rng: random.Random) -> None:
    """Folders of models with one damaged file: refused, or the same answers."""
    copy = _copied(world.run, world.folder / "copy")
    names = ("run.json", "data.npz", "model/architecture.json", "model/recommender.json", "model/model.safetensors")
    path = copy / rng.choice(names)
    path.write_bytes(damaged(rng, path.read_bytes()))
    data = data_of(copy)
    answer = recommender_of(copy, None, data).recommend([world.history], 5)
    assert answer == world.right and data.fingerprint == world.data.fingerprint, f"{path.name}: other content"


def _streams(world: World, rng: random.Random) -> None:
    """Lines of a stream: as many answers as lines."""
    right = [f"{rng.choice(['u', 'v'])}\t{rng.choice(world.data.item_ids[1:])}" for _ in range(3)]
    lines = [line for one in right for line in (one, text(rng).replace("\n", " ").replace("\r", " "))]
    raw = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    written = io.StringIO()
    with (
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="\n")),
        redirect_stdout(written),
        redirect_stderr(io.StringIO()),
    ):
        live = Live(world.recommender, _histories(world.data), most_users=2)
        answer_stream(live, 3, False, None, _as_line)
    answers = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(answers) == len(lines), f"{len(lines)} lines, {len(answers)} answers"
    assert all("items" in answer for answer in answers[::2])


def _readers(kind: str, world: World, rng: random.Random) -> None:
    """Files of interactions: whole ones give their rows; damaged ones are refused, or lose no row."""
    file = drawn_file(rng, kind)
    path = world.folder / file.name
    path.write_bytes(file.data)
    try:
        frame = read_interactions(path, missing="keep")
    except ElasticNASError as error:
        assert not file.whole, f"a whole file was refused: {error}"
        raise
    assert file.least <= len(frame) <= file.most, f"{file.least} to {file.most} rows written, {len(frame)} read"
    if file.rows is not None:
        texts = frame.with_columns(pl.col("user", "item").cast(pl.String))
        read = [(user, item, time // _SECOND) for user, item, time in texts.select("user", "item", "time").iter_rows()]
        assert read == file.rows, "other rows were read"
    counted = prepare(frame).statistics
    kept = counted.interactions + counted.short_dropped
    dropped = counted.empty_dropped + counted.duplicates_dropped + counted.core_dropped
    assert kept + dropped == len(frame), f"{len(frame)} rows, {kept} kept, {dropped} dropped"


def _items(world: World, rng: random.Random) -> None:
    """Files of items: whole ones give their features; damaged ones are refused, or lose no row."""
    file, genres = drawn_items(rng)
    path = world.folder / file.name
    path.write_bytes(file.data)
    try:
        frame = read_items(path, ["genre"])
    except ElasticNASError as error:
        assert not file.whole, f"a whole file was refused: {error}"
        raise
    assert file.least <= len(frame) <= file.most, f"{file.least} to {file.most} items written, {len(frame)} read"
    if file.whole:
        given = zip(frame.to_series(0).to_list(), frame["genre"].to_list(), strict=True)
        assert {item: found or [] for item, found in given} == genres, "other features were read"


def _checkpoints(world: World, rng: random.Random) -> None:
    """Damaged checkpoints, and those with a right checksum and another state: refused, or the same end."""
    folder = world.folder / "counting"
    shutil.rmtree(folder, ignore_errors=True)
    path, work = folder / "checkpoint", Counting()
    drive(work, Run(folder, progress=None), "count", 1)
    if same := rng.random() < 0.4:
        path.write_bytes(damaged(rng, path.read_bytes()))
    else:
        identity = {"work": {"kind": "counting"}, "caller": {}}
        content, _ = load_checkpoint(path, identity)
        inner = content["state"]
        where = rng.choice([content, inner, inner["parts"], inner["parts"]["kept"], inner["random"]])
        where[rng.choice([*where, "x"])] = json_value(rng)
        save_checkpoint(path, content, identity)
    again = Counting()
    drive(again, Run(folder, resume=True, progress=None), "count", 1)
    assert not same or again.kept == work.kept, "other content"


def _studies(world: World, rng: random.Random) -> None:
    """Folders of a study with one damaged file: refused, or the same result."""
    right = world.result
    copy = _copied(world.study, world.folder / "study-copy")
    files = sorted(path for path in copy.rglob("*") if path.suffix in (".json", ".values") or path.name == "checkpoint")
    path = rng.choice([each for each in files if each.name not in ("result.json", "architecture.json")])
    made = json.dumps(json_value(rng)).encode() if rng.random() < 0.3 else damaged(rng, path.read_bytes())
    path.write_bytes(made)
    assert world.studied(copy) == right, f"{path.name}: other content"


def _copied(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


KINDS: dict[str, Callable[[World, random.Random], None]] = {
    "configs": _configs,
    "spaces": _spaces,
    "models": _models,
    "checkpoints": _checkpoints,
    "studies": _studies,
    "streams": _streams,
    "commands": attempt_command,
    "csv": partial(_readers, "csv"),
    "tsv": partial(_readers, "tsv"),
    "json lines": partial(_readers, "json lines"),
    "parquet": partial(_readers, "parquet"),
    "gz": partial(_readers, "gz"),
    "large": partial(_readers, "large"),
    "items": _items,
}
"""Targets by kind of input."""


def attempt(world: World, kind: str, rng: random.Random) -> str:
    """Give one input to a target; return ``ok`` or ``refused``.

    Raises:
        AssertionError: The message is no single line, or the content is wrong.
        Exception: Anything that is no error of ours.
    """
    try:
        KINDS[kind](world, rng)
    except ElasticNASError as error:
        line = printable(str(error))
        assert line and len(line) <= 300 and line.isprintable()
        return "refused"
    return "ok"
