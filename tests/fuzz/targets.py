"""What the inputs are given to; each call returns, or raises an error of ours, or has found a defect."""

import io
import json
import random
import shutil
import sys
from pathlib import Path

import torch

from easrec import Config, Recommender
from easrec.cli.folder import data_of, recommender_of
from easrec.cli.recommend import _as_line, _histories
from easrec.cli.stream import answer_stream
from easrec.data import prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.model import build
from easrec.presets import load_preset
from easrec.space import space_for
from easrec.streaming import Live
from elasticnas import load_space
from elasticnas.cli.options import changes_of
from elasticnas.errors import ElasticNASError, printable
from elasticnas.settings import read_config, updated
from tests.fuzz.inputs import damaged, table, text, yaml_value

__all__ = ["Targets"]

_SMALL = {"hidden": 8, "inner": 8, "length": 4, "layers": 1, "heads": 2, "attention": "linrec"}
_PATHS = ("model.layers", "train.batch", "search.options", "search.budget", "cutoffs", "model", "seed", "compare")


class Targets:
    """A folder with a finished run of an untrained network, and a method for each kind of input."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.run.mkdir()
        planted(users=6, items=12, categories=4, length=6).write(folder / "planted.tsv")
        data = prepare(read_interactions(folder / "planted.tsv"))
        config = Config().updated({"model": _SMALL})
        torch.manual_seed(0)
        arch = space_for(config.model).largest()
        network = build(config.model, len(data.item_ids) - 1, arch, True).eval()
        Recommender(network, arch, config, data.item_ids, data=data.fingerprint).save(self.run / "model")
        data.save(self.run / "data.npz")
        content = {"data": data.fingerprint, "settings": config.model_dump(mode="json")}
        (self.run / "run.json").write_text(json.dumps(content))
        self.data, self.recommender = data, Recommender.load(self.run)
        history = data.item_ids[1:4]
        self.right = self.recommender.recommend([history], 5)

    def configs(self, rng: random.Random) -> None:
        """Settings of --set and of a file."""
        key = rng.choice(_PATHS) if rng.random() < 0.7 else text(rng)
        if rng.random() < 0.5:
            updated(load_preset("demo"), changes_of([f"{key}={yaml_value(rng)}"]))
        else:
            path = self.folder / "config.yaml"
            path.write_bytes(f"{key}: {yaml_value(rng)}\n".encode("utf-8", "replace"))
            read_config(load_preset("demo"), path)

    def spaces(self, rng: random.Random) -> None:
        """Files of spaces."""
        path = self.folder / "space.yaml"
        valid = ["[1, 2]", "[x, y]", "{low: 1, high: 9}", "{per_layer: [1, 2], count: c}", "{fields: {d: [2, 1]}}"]
        options, other = (rng.choice([*valid, yaml_value(rng)]) for _ in range(2))
        body = f"name: {rng.choice(['N', text(rng)])}\nfields: {{a: {options}, b: {other}, c: [3, 2]}}\n"
        made = damaged(rng, body.encode("utf-8", "replace")) if rng.random() < 0.3 else body.encode("utf-8", "replace")
        path.write_bytes(made)
        space = load_space(path)
        space.sample(random.Random(0))
        printable(repr(space.largest()))

    def models(self, rng: random.Random) -> None:
        """Folders of models with one damaged file: refused, or the same answers."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.run, copy)
        names = ("run.json", "data.npz", "model/architecture.json", "model/recommender.json", "model/model.safetensors")
        path = copy / rng.choice(names)
        path.write_bytes(damaged(rng, path.read_bytes()))
        data = data_of(copy)
        answer = recommender_of(copy, None, data).recommend([self.data.item_ids[1:4]], 5)
        assert answer == self.right and data.fingerprint == self.data.fingerprint, (
            f"{path.name}: accepted, other content"
        )

    def streams(self, rng: random.Random) -> None:
        """Lines of a stream: as many answers as lines."""
        right = [f"{rng.choice(['u', 'v'])}\t{rng.choice(self.data.item_ids[1:])}" for _ in range(3)]
        lines = [line for one in right for line in (one, text(rng).replace("\n", " ").replace("\r", " "))]
        raw = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        source, written = sys.stdin, io.StringIO()
        kept, error = sys.stdout, sys.stderr
        sys.stdin = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="\n")
        sys.stdout, sys.stderr = written, io.StringIO()
        try:
            live = Live(self.recommender, _histories(self.data), most_users=2)
            answer_stream(live, 3, False, None, _as_line)
        finally:
            sys.stdin, sys.stdout, sys.stderr = source, kept, error
        answers = [json.loads(line) for line in written.getvalue().splitlines()]
        assert len(answers) == len(lines), f"{len(lines)} lines, {len(answers)} answers"
        assert all("items" in answer for answer in answers[::2])

    def readers(self, rng: random.Random) -> None:
        """Files of interactions: whole ones lose no row; damaged ones are read or refused."""
        content, rows = table(rng)
        whole = rng.random() < 0.3
        path = self.folder / rng.choice(["data.csv", "data.csv", "data.tsv", "ratings.dat", "data.jsonl", "data.txt"])
        if whole:
            path = self.folder / "data.csv"
        path.write_bytes(content if whole else damaged(rng, content))
        frame = read_interactions(path)
        assert not whole or len(frame) == rows, f"{rows} rows written, {len(frame)} read"
        prepare(frame)


def attempt(targets: Targets, kind: str, seed: int) -> str:
    """Give one input to a target; return ``ok`` or ``refused``.

    Raises:
        AssertionError: The message is no single line, or the content is wrong.
        Exception: Anything that is no error of ours.
    """
    try:
        getattr(targets, kind)(random.Random(seed))
    except ElasticNASError as error:
        line = printable(str(error))
        assert line and len(line) <= 300 and line.isprintable()
        return "refused"
    return "ok"
