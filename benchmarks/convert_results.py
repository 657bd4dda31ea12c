"""Results that elasticnas 0.1 recorded, in the format of this version; no figure changes.

``python benchmarks/convert_results.py PATH...``

A path is a file or a folder with everything below it: runs of ``easrec run``, the runs of a ``reproduce`` matrix,
studies, and comparisons of settings. Files are replaced whole; those converted before and those of other kinds are left
alone. A run that 0.1 began and did not finish is refused: finish it with 0.1, or start it anew.
"""

import argparse
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from easrec.artifact import digest
from easrec.config import Config
from easrec.data import Statistics
from easrec.result import RunResult
from easrec.space import space_for
from elasticnas.errors import ConfigError, DataError, ElasticNASError, one_line
from elasticnas.files import write_text
from elasticnas.record import FORMAT, read_result
from elasticnas.search import SearchResult
from elasticnas.study.result import StudyResult

RENAMED = {
    "search.strategy=easrec": "search.strategy=dynamic-constraint",
    "steer": "early_stopping_metric",
    "ks": "cutoffs",
}
"""Settings of 0.1 and what they are now: ``name`` to another name, or ``name=value`` to another value."""

_OF_A_RUN = ("result.json", "search.json", "run.json", "study.json")
BEGUN = "0.1 began it and did not finish it: finish it with 0.1, or start it anew"


def main(arguments: list[str] | None = None) -> int:
    """Convert; one line per file that changes or is refused. Returns how many were refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    refused: list[Path] = []
    for given in parser.parse_args(arguments).paths:
        for path in _files(given):
            if any(folder in path.parents for folder in refused):
                continue
            try:
                if convert(path, required=path == given):
                    print(f"converted: {path}")
            except (ElasticNASError, OSError) as error:
                refused.append(path.parent if path.name in _OF_A_RUN else path)
                print(f"refused: {error}", file=sys.stderr)
    return len(refused)


def _files(given: Path) -> list[Path]:
    """A folder before those in it: what belongs to a run, such as ``model/``, is only converted along with it."""
    if not given.is_dir():
        return [given]
    return sorted(given.rglob("*.json"), key=lambda path: (path.parent.parts, path.name))


def convert(path: Path, required: bool = True) -> bool:
    """Convert one file.

    Args:
        path: The file.
        required: Refuse what is no recorded result; else leave it alone.

    Returns:
        Whether it was changed.

    Raises:
        DataError: It cannot be converted; says what is missing.
    """
    old = _read(path)
    make = next((make for names, make in _KINDS.items() if isinstance(old, dict) and old.keys() >= set(names)), None)
    if isinstance(old, dict) and old.get("format") == FORMAT:
        return False
    if make is None:
        if required:
            raise DataError(f"{path}: no result that 0.1 recorded; give result.json, search.json or their folder")
        return False
    try:
        new = make(copy.deepcopy(old), path)
    except ValidationError as error:
        raise DataError(f"{path}: {one_line(Config, error)}") from None
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]!r} is missing, and format {FORMAT} needs it") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error})") from None
    if new == old:
        return False
    write_text(path, json.dumps(new, indent=None if path.name == "recommender.json" else 2) + "\n")
    return True


def renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of 0.1 under the names and with the values of now; names that are not there stay away."""
    settings = copy.deepcopy(settings)
    for old, new in RENAMED.items():
        (name, _, value), (new_name, _, new_value) = old.partition("="), new.partition("=")
        *path, last = name.split(".")
        node = _at(settings, path)
        if last in node and (not value or node[last] == value):
            found = node.pop(last)
            *path, last = new_name.split(".")
            _at(settings, path)[last] = new_value or found
    return settings


def _at(settings: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for name in path:
        settings = settings.setdefault(name, {})
    return settings


def _run_result(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """Flat keys such as ``found/test/unseen/ndcg@10`` to networks, stages and protocols."""
    settings = renamed(old.pop("config"))
    config, data = Config.model_validate(settings), old.pop("data")
    limit = old.pop("search/limit_flops", None)
    search: dict[str, Any] = {
        name: old.pop(f"search/{name}") for name in ("seconds", "steps", "probabilities", "warnings", "random_tried")
    }
    search |= {"limit": limit, "unit": "FLOPs", "peak_memory_bytes": old.pop("search/peak_memory_bytes", None)}
    inherited = old.pop("search/found_inherited")
    new = {
        "format": FORMAT,
        **{name: old.pop(name) for name in ("created", "seed", "environment")},
        "seconds": old.pop("seconds/this_process"),
        "config": settings,
        "data": _data(data),
        "networks": {n: _network(old, n, config) for n in ("largest", "found", "random") if f"{n}/flops" in old},
        "best_reachable": _metrics(old, "best") or None,
        "fewest_negatives": {
            stage: old.pop(f"evaluation/{stage}/fewest_negatives")
            for stage in ("validation", "test")
            if f"evaluation/{stage}/fewest_negatives" in old
        },
    }
    new["search"] = (
        None if config.search.strategy == "none" else _part(search, inherited, new["networks"], config, path)
    )
    if old:
        raise DataError(f"{path}: {next(iter(old))!r} has no place in format {FORMAT}")
    result = RunResult.from_dict(new)
    if not result.complete:
        raise DataError(f"{path}: {BEGUN}")
    return result.to_dict()


def _data(old: dict[str, Any]) -> dict[str, Any]:
    counts = {field.name: old.pop(field.name) for field in fields(Statistics) if field.name in old}
    return {"statistics": counts, **old}


def _network(old: dict[str, Any], name: str, config: Config) -> dict[str, Any]:
    arch, training = old.pop(f"{name}/architecture"), None
    if f"{name}/train/epochs" in old:
        parts = ("best_epoch", "epochs", "seconds", "history")
        training = {part: old.pop(f"{name}/train/{part}") for part in parts}
    costs = ("flops", "flops_scoring_one_position", "params", "latency_ms", "latency_iqr_ms")
    return {
        "architecture": {choice: arch.pop(choice) for choice in space_for(config.model).choices()},
        **arch,  # hidden and inner
        **{cost: old.pop(f"{name}/{cost}") for cost in costs},
        "training": training,
        "metrics": _metrics(old, name),
    }


def _metrics(old: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in [key for key in old if key.startswith(f"{name}/") and "@" in key]:
        _, stage, protocol, metric = key.split("/")
        found.setdefault(stage, {}).setdefault(protocol, {})[metric] = old.pop(key)
    return found


def _part(
    search: dict[str, Any], inherited: dict[str, float], networks: dict[str, Any], config: Config, path: Path
) -> dict[str, Any]:
    """The search of a run: from ``search.json`` beside it, or else what the result has of it."""
    found, early_stopping_metric = networks["found"], config.early_stopping_metric
    search["found"] = {"architecture": found["architecture"], "cost": found["flops"], "metrics": inherited}
    drawn = search["random_tried"]
    if "random" in networks:
        drawn = [each for each in drawn if each["architecture"] == networks["random"]["architecture"]]
    if not drawn:
        raise DataError(f"{path}: search/random_tried lacks what random search found, and format {FORMAT} needs it")
    search["random"] = max(drawn, key=lambda each: (each["metrics"][early_stopping_metric], -each["cost"]))
    peak = search.pop("peak_memory_bytes")
    known = _search(search, config.search.strategy, early_stopping_metric, "maximise", path)
    beside = path.parent / "search.json"
    if path.name != "result.json" or not beside.exists():
        return {"result": known, "peak_memory_bytes": peak}
    whole = _read(beside)
    if whole.get("format") != FORMAT:
        peak = whole.pop("peak_memory_bytes", peak)
        whole = _search(whole, config.search.strategy, early_stopping_metric, "maximise", beside)
    for name in ("found", "random", "random_tried", "limits", "seconds", "steps"):
        if whole[name] != known[name]:
            raise DataError(f"{path}: {name} of the search differs from that in {beside}: they are of two runs")
    return {"result": whole, "peak_memory_bytes": peak}


def _search(old: dict[str, Any], strategy: str, metric: str, direction: str, path: Path) -> dict[str, Any]:
    """A search of 0.1, whose only cost is ``flops``."""
    unit, limit = old.pop("unit"), old.pop("limit")
    if unit != "FLOPs" or old.pop("latency", []):
        raise DataError(f"{path}: a search over {unit}, not over FLOPs alone: its costs have no names")
    several = ("random_tried", "pareto", "random_pareto", "tried")
    new = {
        "strategy": strategy,
        "metric": metric,
        "direction": direction,
        "units": {"flops": unit},
        "limits": {} if limit is None else {"flops": limit},
        **{name: _candidate(old.pop(name)) for name in ("found", "random")},
        **{name: [_candidate(each) for each in old.pop(name)] for name in several if name in old},
        **old,
    }
    return SearchResult[Any].model_validate({"format": FORMAT, **new}).to_dict()


def _candidate(old: dict[str, Any]) -> dict[str, Any]:
    if old.keys() != {"architecture", "cost", "metrics"}:
        raise ValueError(f"a candidate has {', '.join(old)}")
    return {"architecture": old["architecture"], "costs": {"flops": old["cost"]}, "metrics": old["metrics"]}


def _search_file(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """``search.json``; the result beside it says what the search ranked by."""
    result = _result_beside(path)
    old.pop("peak_memory_bytes", None)  # the result has it
    if "task" in result:
        return _search(old, "evolve", result["metric"], _direction(result), path)
    config = Config.model_validate(renamed(result["config"]))
    return _search(old, config.search.strategy, config.early_stopping_metric, "maximise", path)


def _study_result(old: dict[str, Any], path: Path) -> dict[str, Any]:
    direction = _direction(old)
    del old["maximise"]
    search = _search(old.pop("search"), "evolve", old["metric"], direction, path)
    new = {"format": FORMAT, **old, "direction": direction, "search": search}
    return read_result(StudyResult[Any], new, "study result").to_dict()


def _direction(study: dict[str, Any]) -> str:
    if "direction" in study:
        return str(study["direction"])
    return "maximise" if study["maximise"] else "minimise"


def _comparison(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """``examples/compare_settings.py``."""
    for runs in old["results"].values():
        for run in runs.values():
            run["metrics"] = {}
            for key in [key for key in run if "@" in key]:
                protocol, metric = key.split("/")
                run["metrics"].setdefault(protocol, {})[metric] = run.pop(key)
    return {"format": FORMAT, **old}


def _identity(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """``run.json`` of a run that is finished."""
    _result_beside(path)
    return old | {"settings": renamed(old["settings"])}


def _study_identity(old: dict[str, Any], path: Path) -> dict[str, Any]:
    _result_beside(path)
    return old


def _recommender(old: dict[str, Any], path: Path) -> dict[str, Any]:
    if old.pop("sha256") != digest(old):
        raise DataError(f"{path}: damaged (its checksum is wrong)")
    new = old | {"config": renamed(old["config"])}
    return new | {"sha256": digest(new)}


def _result_beside(path: Path) -> dict[str, Any]:
    beside = path.parent / "result.json"
    if not beside.exists():
        raise DataError(f"{path.parent}: {BEGUN}")
    found: dict[str, Any] = _read(beside)
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error})") from None


# by the keys that it has
_KINDS: dict[tuple[str, ...], Callable[[dict[str, Any], Path], dict[str, Any]]] = {
    ("config", "data", "found/flops"): _run_result,
    ("task", "search", "rows"): _study_result,
    ("found", "random", "history", "unit"): _search_file,
    ("results", "environment"): _comparison,
    ("data", "settings"): _identity,
    ("task", "settings", "space"): _study_identity,
    ("config", "items", "sha256"): _recommender,
}


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
