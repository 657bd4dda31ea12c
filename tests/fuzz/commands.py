"""Command lines: each with what must come of it, counted without the code of the commands."""

import io
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import polars as pl
import yaml

from easrec import Config
from easrec.data import Interactions
from elasticnas.cli.root import run
from elasticnas.errors import ElasticNASError
from tests.fuzz.inputs import text, yaml_value
from tests.fuzz.tables import KINDS, drawn_file
from tests.fuzz.world import World

__all__ = ["attempt_command"]

_LONGEST = 300  # characters of an error
_ODD = (
    "\x1b]0;title\x07",
    "\x9b2J",
    "",
    "-1",
    "0",
    "1e400",
    "nan",
    "no-such-file.csv",
    "--",
    "--help",
    "--all",
    ".",
    "/",
)
_SPACES = ("[1, 2]", "[x, y]", "{low: 1, high: 9}", "{per_layer: [1, 2], count: c}")


@dataclass
class Command:
    """A command line.

    Attributes:
        words: Its words, without the program.
        check: Checks what was printed on the standard output if it succeeds.
        succeeds: Whether it must succeed; None if it may.
    """

    words: list[str]
    check: Callable[[str], None] = lambda printed: None
    succeeds: bool | None = None


def attempt_command(world: World, rng: random.Random) -> None:
    """Run a command line in this process: it succeeds with every row, or ends in one line, without a traceback.

    Raises:
        ElasticNASError: The command refused the input in one line, or explained its usage.
        AssertionError: It printed something else, or lost a row.
    """
    command = rng.choice(_COMMANDS)(world, rng)
    if rng.random() < 0.4:
        command = _spoiled(rng, command)
    code, printed, said = _run(command.words)
    shown = (printed + said).replace("\n", "").replace("\t", "")
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in shown), f"control characters: {shown[:200]!r}"
    assert "Traceback" not in printed + said, f"a traceback: {said[-200:]!r}"
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert command.succeeds is not False or code != 0, f"{command.words} succeeded"
    if code == 0:
        assert not errors, f"succeeded, but said {errors}"
        command.check(printed)
        return
    assert not command.succeeds, f"{command.words} was refused: {said[-200:]!r}"
    if code == 2:
        explained = "Usage: " in printed + said or "─ Error ─" in said
        assert explained and not errors, f"no usage: {printed + said!r}"
        raise ElasticNASError("wrong usage")
    assert code == 1 and len(errors) == 1 and said.splitlines()[-1] == errors[0], f"exit {code}: {said[-200:]!r}"
    message = errors[0].removeprefix("error: ")
    assert message.strip() and len(message) <= _LONGEST, f"{len(message)} characters of error"
    raise ElasticNASError(message)


def _run(words: list[str]) -> tuple[object, str, str]:
    printed, said, code = _Terminal(), _Terminal(), [0]
    with (
        patch.object(sys, "argv", ["elasticnas", *words]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""))),
        patch("signal.signal"),
        patch.dict(os.environ, {"TERM": "dumb", "COLUMNS": "200"}),  # no styles
        redirect_stdout(printed),
        redirect_stderr(said),
    ):
        try:
            run()
        except SystemExit as left:
            code = [left.code or 0]
    return code[0], printed.getvalue(), said.getvalue()


class _Terminal(io.StringIO):
    """Text that commands take for a terminal without colours."""

    def isatty(self) -> bool:
        return True


def _spoiled(rng: random.Random, command: Command) -> Command:
    """Return a command with a word replaced, added or left out, of which nothing is expected."""
    words, given = list(command.words), rng.choice([text(rng), rng.choice(_ODD)])
    at = rng.randrange(len(words))
    how = rng.randrange(4)
    if how == 0:
        words.insert(at, given)
    elif how == 1:
        del words[at]
    else:
        words[at] = given
    return Command([word.replace("\0", "") for word in words])


def _recommend(world: World, rng: random.Random) -> Command:
    """Users and histories, as JSON or into a table: one row for each item that is left."""
    data, top, repeats = world.data, rng.choice([1, 3, 50]), rng.random() < 0.5
    every, asked, words = data.item_ids[1:], [], []
    for _ in range(rng.randrange(1, 4)):
        if rng.random() < 0.5:
            n = rng.randrange(len(data.user_ids))
            items = [data.item_ids[i] for i in data.items[data.offsets[n] : data.offsets[n + 1]]]
            asked.append((data.user_ids[n], set(items)))
            words += ["--user", data.user_ids[n]]
        else:
            items = rng.choices(every, k=rng.randrange(4)) + ["unknown"] * rng.randrange(2)
            asked.append((",".join(items), set(items) & set(every)))
            words += ["--history", ",".join(items)]
    # users are answered before histories
    asked = [each for kind in (True, False) for each in asked if (each[0] in data.user_ids) == kind]
    allowed = set(rng.sample(every, 4)) if rng.random() < 0.3 else set(every)
    if len(allowed) == 4:
        path = world.folder / "allow.txt"
        path.write_text("\n".join(allowed))
        words += ["--items", str(path)]
    left = [min(top, len(allowed if repeats else allowed - seen)) for _, seen in asked]
    rows = [(name, not seen) for (name, seen), count in zip(asked, left, strict=True) for _ in range(count)]
    words += ["--top", str(top), *(["--repeats"] if repeats else [])]
    words = ["easrec", "recommend", "--out", str(world.run), *words]
    if rng.random() < 0.5:
        return Command([*words, "--json"], lambda printed: _compare_lines(printed, asked, left), True)
    to = world.folder / rng.choice(["answers.csv", "answers.parquet"])
    return Command([*words, "--to", str(to)], lambda printed: _compare_table(to, rows), True)


def _compare_lines(printed: str, asked: list[tuple[str, set[str]]], left: list[int]) -> None:
    answers = [json.loads(line) for line in printed.splitlines()]
    found = [(each["for"], len(each["items"]), len(each["scores"]), each["fallback"]) for each in answers]
    wanted = [(name, n, n, not seen) for (name, seen), n in zip(asked, left, strict=True)]
    assert found == wanted, f"{wanted} asked, {found} answered"


def _compare_table(path: Path, rows: list[tuple[str, bool]]) -> None:
    table = pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    path.unlink()
    users = ["" if user is None else user for user in table["user"]]
    found = list(zip(users, [str(each).lower() == "true" for each in table["fallback"]], strict=True))
    assert found == rows, f"{len(rows)} rows, {len(found)} written"


def _everyone(world: World, rng: random.Random) -> Command:
    """All users into a table."""
    to, data = world.folder / rng.choice(["all.csv", "all.parquet"]), world.data
    rows = [(user, False) for user in data.user_ids for _ in range(min(20, len(data.item_ids) - 1))]
    words = ["--users", "all", "--to", str(to), "--repeats", "--top", "20"]
    return Command(
        ["easrec", "recommend", "--out", str(world.run), *words], lambda printed: _compare_table(to, rows), True
    )


def _ids(world: World, rng: random.Random) -> Command:
    kind, data = rng.choice(["users", "items"]), world.data
    wanted = data.user_ids if kind == "users" else data.item_ids[1:]

    def check(printed: str) -> None:
        assert printed.splitlines() == wanted, "other ids"

    return Command(["easrec", "ids", kind, "--out", str(world.run)], check, True)


def _evaluate(world: World, rng: random.Random) -> Command:
    to, users = world.folder / "users.parquet", len(world.data.user_ids)
    words = ["--popularity", rng.choice(["0", "0.5", "-1"]), "--per-user", str(to), "--beyond", "--json"]

    def check(printed: str) -> None:
        table, found = pl.read_parquet(to), json.loads(printed)
        to.unlink()
        assert len(table) == users == found["test/evaluated_users"], f"{users} users, {len(table)} rows"
        hits = sum(rank is not None and rank <= 10 for rank in table["rank_unseen"])
        assert abs(hits / users - found["test/unseen/recall@10"]) < 1e-9, "other hits"

    return Command(["easrec", "evaluate", "--out", str(world.run), *words], check, True)


def _prepare(world: World, rng: random.Random) -> Command:
    """Files of interactions: what is kept of whole ones is counted here."""
    file, to = drawn_file(rng, rng.choice(KINDS)), world.folder / "prepared.npz"
    path = world.folder / file.name
    path.write_bytes(file.data)
    to.unlink(missing_ok=True)
    words = ["easrec", "prepare", "--data", str(path), "--out", str(to), "--missing", "keep"]
    if file.rows is None:
        more = rng.choice([["--split", "time:50%,75%"], ["--where", f"{text(rng)} > 1"], ["--user", text(rng)], []])
        return Command([word.replace("\0", "") for word in [*words, *more]])
    counts = Counter(user for user, _, _ in file.rows)
    kept = [(user, item) for user, item, _ in file.rows if counts[user] > 2]  # rows are in order of time

    def check(printed: str) -> None:
        data = Interactions.load(to)
        sequences = {user: [data.item_ids[i] for i in data.items[a:b]] for user, a, b in _of_users(data)}
        wanted = {user: [item for name, item in kept if name == user] for user, _ in kept}
        assert sequences == wanted, f"{len(kept)} rows to keep, {len(data.items)} kept"

    enough = len({item for _, item in kept}) > 1
    return Command(words, check, (True if file.whole else None) if enough else False)


def _of_users(data: Interactions) -> list[tuple[str, int, int]]:
    return list(zip(data.user_ids, data.offsets[:-1].tolist(), data.offsets[1:].tolist(), strict=True))


def _run_again(world: World, rng: random.Random) -> Command:
    """Runs into a folder that holds one: refused, after the data has been read or before."""
    file = drawn_file(rng, rng.choice(KINDS))
    path = world.folder / file.name
    path.write_bytes(file.data)
    words = ["--data", str(path), "--out", str(world.run), "--set", f"model.layers={yaml_value(rng)}"]
    return Command([word.replace("\0", "") for word in ["easrec", "run", *words]], succeeds=False)


def _unfinished(world: World, rng: random.Random) -> Command:
    """Commands that need a finished run or search."""
    return Command(["easrec", rng.choice(["refit", "retrain"]), "--out", str(world.run)], succeeds=False)


def _space(world: World, rng: random.Random) -> Command:
    path, count = world.folder / "drawn.yaml", rng.randrange(1, 5)
    valid = rng.random() < 0.5
    options = rng.choice(_SPACES) if valid else yaml_value(rng)
    path.write_bytes(f"name: N\nfields: {{a: {options}, c: [3, 2]}}\n".encode("utf-8", "replace"))
    word = rng.choice(["show", "check", "sample"])
    more = ["--count", str(count), "--format", "json"] if word == "sample" else []

    def check(printed: str) -> None:
        lines = [json.loads(line) for line in printed.splitlines()] if word == "sample" else [{"a": 0, "c": 2}]
        assert all({"a", "c"} <= set(line) for line in lines) and len(lines) in (1, count), "other samples"
        assert word != "sample" or len(lines) == count, f"{count} samples, {len(lines)} lines"

    return Command(["space", word, str(path), *more], check, True if valid else None)


def _settings(world: World, rng: random.Random) -> Command:
    preset = rng.choice(["demo", "default", text(rng)])

    def check(printed: str) -> None:
        assert set(yaml.safe_load(printed)) == set(Config.model_fields), "other settings"

    words = ["easrec", "config", "show", preset.replace("\0", "")]
    return Command(words, check, True if preset in ("demo", "default") else None)


def _nonsense(world: World, rng: random.Random) -> Command:
    words = [rng.choice(["easrec", "space", "plugins", text(rng)]), *(text(rng) for _ in range(rng.randrange(3)))]
    return Command([word.replace("\0", "") for word in words])


_COMMANDS = (
    _recommend,
    _recommend,
    _everyone,
    _ids,
    _evaluate,
    _prepare,
    _prepare,
    _run_again,
    _unfinished,
    _space,
    _settings,
    _nonsense,
)
