"""Judge elastify on families of models: each of up to six spaces, against small models filled by maps written by hand.

``python benchmarks/families.py OUT`` adds a line to ``OUT/families.jsonl`` for each case that is not yet there, then
writes ``families.json`` and ``families.md``. Each case is tried without rules and, if that raises an error that
proposes rules, once more with these rules as they are.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from record import heading, write
from verdict import VERDICTS, judge

from elasticnas.report import environment
from tests.elastic.zoo.family import SPACES, Family, families

LINES = "families.jsonl"
ENDS = {
    "right and quiet": "right",
    "right with a warning": "right, warned",
    "right by the pasted rule": "right, pasted",
}

_families: dict[str, Family] = {}


def by_name() -> dict[str, Family]:
    """Every family that is installed, in this process."""
    if not _families:
        torch.set_num_threads(1)
        _quiet()
        for family in families():
            if family.name in _families:
                raise ValueError(f"two families are named {family.name}")
            _families[family.name] = family
    return _families


def _quiet() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def case(name: str, space: str) -> dict[str, Any]:
    """Judge one case, in any process."""
    return judge(by_name()[name], space).record()


def missing(records: list[dict[str, Any]], only: str, space: str) -> Iterator[tuple[str, str]]:
    """The cases without a record whose family's name contains a text."""
    done = {(record["family"], record["space"]) for record in records}
    for name, family in by_name().items():
        for each in family.spaces:
            if only.lower() in name.lower() and space in ("", each) and (name, each) not in done:
                yield name, each


def run(cases: list[tuple[str, str]], jobs: int) -> Iterator[dict[str, Any]]:
    """Records in the order in which they are ready."""
    if jobs == 1:
        yield from (case(*each) for each in cases)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:  # autograd refuses to run after a fork
        for future in as_completed([pool.submit(case, *each) for each in cases]):
            yield future.result()


def read(path: Path) -> list[dict[str, Any]]:
    """The records of earlier runs."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def counts(records: list[dict[str, Any]]) -> dict[str, int]:
    """How many cases there are of each verdict."""
    found = Counter(record["verdict"] for record in records)
    return {verdict: found[verdict] for verdict in VERDICTS}


def page(records: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """The page: counts, a row for each family, and what was not right."""
    lines = heading("elastify on families of models", where)
    total, found = len(records), counts(records)
    lines += [f"{len({record['family'] for record in records})} families, {total} cases:", ""]
    lines += [f"- {verdict}: {count} ({count / max(total, 1):.0%})" for verdict, count in found.items()]
    tried = [record for record in records if record["rules"]]
    good = sum(record["verdict"] == "right by the pasted rule" for record in tried)
    lines += ["", f"Proposed rules that are right as pasted: {good} of {len(tried)}.", "", *_table(records), ""]
    lines += ["## Refused, crashed, wrong", ""]
    lines += [_detail(record) for record in records if not record["verdict"].startswith("right")]
    return "\n".join(lines) + "\n"


def _table(records: list[dict[str, Any]]) -> list[str]:
    cells = {(record["family"], record["space"]): record["verdict"] for record in records}
    rows = [f"| family | {' | '.join(SPACES)} |", "|---" * (len(SPACES) + 1) + "|"]
    for name in sorted({family for family, _ in cells}):
        verdicts = [cells.get((name, space), "") for space in SPACES]
        rows.append(f"| {name} | {' | '.join(ENDS.get(verdict, verdict) for verdict in verdicts)} |")
    return rows


def _detail(record: dict[str, Any]) -> str:
    what = f"- {record['family']}, {record['space']}: {record['verdict']}"
    if record["verdict"] == "wrong":
        how = "by the pasted rule" if record["rules"] else "with a warning" if record["warned"] else "in silence"
        return f"{what} {how}: output off by {record['forward']:.2g}, gradients by {record['gradients']:.2g}"
    return f"{what}{' with the pasted rule' if record['rules'] else ''}: {record['why'][:300]}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="families whose name contains this text")
    parser.add_argument("--space", default="", choices=["", *SPACES])
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = options.out / LINES
    records = read(lines)
    for record in run(list(missing(records, options.only, options.space)), options.jobs):
        records.append(record)
        with lines.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{record['family']}, {record['space']}: {record['verdict']} {record['why'][:120]}", flush=True)
    records.sort(key=lambda record: (record["family"], SPACES.index(record["space"])))
    where = environment(torch.device("cpu"))
    print(json.dumps(counts(records)))
    write(
        options.out,
        "families",
        {"cases": records, "counts": counts(records), "environment": where},
        page(records, where),
    )


if __name__ == "__main__":
    main()
