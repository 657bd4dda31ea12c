"""Convert results of elasticnas 0.1 to the format of this version, without changing any figure.

``python benchmarks/convert_results.py PATH...``

A path is a file, or a folder with everything below it: runs of ``easrec run``, the runs of a ``reproduce`` matrix,
studies, and comparisons of settings. Files are replaced as a whole; converted files and files of other kinds are not
changed. An unfinished run of 0.1 is refused: finish it with 0.1, or start a new run.
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
"""Settings of 0.1 and their present form: ``name`` to a new name, or ``name=value`` to a new value."""

_RUN_FILES = ("result.json", "search.json", "run.json", "study.json")
UNFINISHED = "an unfinished run of 0.1: finish it with 0.1, or start a new run"


def main(arguments: list[str] | None = None) -> int:
    """Convert files, print one line per changed or refused file, and return the number of refused ones."""
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
                refused.append(path.parent if path.name in _RUN_FILES else path)
                print(f"refused: {error}", file=sys.stderr)
    return len(refused)


def _files(given: Path) -> list[Path]:
    """Return all files, a folder before its subfolders: ``model/`` is only converted together with its run."""
    if not given.is_dir():
        return [given]
    return sorted(given.rglob("*.json"), key=lambda path: (path.parent.parts, path.name))


def convert(path: Path, required: bool = True) -> bool:
    """Convert one file.

    Args:
        path: The file.
        required: Refuse a file that is not a recorded result, instead of skipping it.

    Returns:
        Whether it was changed.

    Raises:
        DataError: The file cannot be converted.
    """
    old = _read(path)
    make = next(
        (make for names, make in _CONVERTERS.items() if isinstance(old, dict) and old.keys() >= set(names)), None
    )
    if isinstance(old, dict) and old.get("format") == FORMAT:
        return False
    if make is None:
        if required:
            raise DataError(f"{path}: not a result of 0.1; give result.json, search.json or their folder")
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
    """Return settings of 0.1 with present names and values; missing settings are not added."""
    settings = copy.deepcopy(settings)
    for old, new in RENAMED.items():
        (name, _, value), (new_name, _, new_value) = old.partition("="), new.partition("=")
        *path, last = name.split(".")
        node = _nested(settings, path)
        if last in node and (not value or node[last] == value):
            found = node.pop(last)
            *path, last = new_name.split(".")
            _nested(settings, path)[last] = new_value or found
    return settings


def _nested(settings: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for name in path:
        settings = settings.setdefault(name, {})
    return settings


def _run_result(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """Convert flat keys such as ``found/test/unseen/ndcg@10`` to networks, stages and protocols."""
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
        None if config.search.strategy == "none" else _search_of_run(search, inherited, new["networks"], config, path)
    )
    if old:
        raise DataError(f"{path}: {next(iter(old))!r} is not part of format {FORMAT}")
    result = RunResult.from_dict(new)
    if not result.complete:
        raise DataError(f"{path}: {UNFINISHED}")
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


def _search_of_run(
    search: dict[str, Any], inherited: dict[str, float], networks: dict[str, Any], config: Config, path: Path
) -> dict[str, Any]:
    """Return the search of a run, from ``search.json`` in its folder, or else from the result."""
    found, early_stopping_metric = networks["found"], config.early_stopping_metric
    search["found"] = {"architecture": found["architecture"], "cost": found["flops"], "metrics": inherited}
    drawn = search["random_tried"]
    if "random" in networks:
        drawn = [each for each in drawn if each["architecture"] == networks["random"]["architecture"]]
    if not drawn:
        raise DataError(f"{path}: search/random_tried lacks random search's choice, and format {FORMAT} needs it")
    search["random"] = max(drawn, key=lambda each: (each["metrics"][early_stopping_metric], -each["cost"]))
    peak = search.pop("peak_memory_bytes")
    known = _search(search, config.search.strategy, early_stopping_metric, "maximise", path)
    search_file = path.parent / "search.json"
    if path.name != "result.json" or not search_file.exists():
        return {"result": known, "peak_memory_bytes": peak}
    whole = _read(search_file)
    if whole.get("format") != FORMAT:
        peak = whole.pop("peak_memory_bytes", peak)
        whole = _search(whole, config.search.strategy, early_stopping_metric, "maximise", search_file)
    for name in ("found", "random", "random_tried", "limits", "seconds", "steps"):
        if whole[name] != known[name]:
            raise DataError(
                f"{path}: {name} of the search differs from that in {search_file}: they are of different runs"
            )
    return {"result": whole, "peak_memory_bytes": peak}


def _search(old: dict[str, Any], strategy: str, metric: str, direction: str, path: Path) -> dict[str, Any]:
    """Convert a search of 0.1, whose only cost is ``flops``."""
    unit, limit = old.pop("unit"), old.pop("limit")
    if unit != "FLOPs" or old.pop("latency", []):
        raise DataError(f"{path}: a search over {unit}, not over FLOPs alone: its costs have no names")
    lists = ("random_tried", "pareto", "random_pareto", "tried")
    new = {
        "strategy": strategy,
        "metric": metric,
        "direction": direction,
        "units": {"flops": unit},
        "limits": {} if limit is None else {"flops": limit},
        **{name: _candidate(old.pop(name)) for name in ("found", "random")},
        **{name: [_candidate(each) for each in old.pop(name)] for name in lists if name in old},
        **old,
    }
    return SearchResult[Any].model_validate({"format": FORMAT, **new}).to_dict()


def _candidate(old: dict[str, Any]) -> dict[str, Any]:
    if old.keys() != {"architecture", "cost", "metrics"}:
        raise ValueError(f"a candidate has {', '.join(old)}")
    return {"architecture": old["architecture"], "costs": {"flops": old["cost"]}, "metrics": old["metrics"]}


def _search_file(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """Convert ``search.json``; the metric is that of the result in its folder."""
    result = _result_of_run(path)
    old.pop("peak_memory_bytes", None)  # part of the result
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
    """Convert a file of ``examples/compare_settings.py``."""
    for runs in old["results"].values():
        for run in runs.values():
            run["metrics"] = {}
            for key in [key for key in run if "@" in key]:
                protocol, metric = key.split("/")
                run["metrics"].setdefault(protocol, {})[metric] = run.pop(key)
    return {"format": FORMAT, **old}


def _identity(old: dict[str, Any], path: Path) -> dict[str, Any]:
    """Convert ``run.json`` of a finished run."""
    _result_of_run(path)
    return old | {"settings": renamed(old["settings"])}


def _study_identity(old: dict[str, Any], path: Path) -> dict[str, Any]:
    _result_of_run(path)
    return old


def _recommender(old: dict[str, Any], path: Path) -> dict[str, Any]:
    if old.pop("sha256") != digest(old):
        raise DataError(f"{path}: damaged (its checksum is wrong)")
    new = old | {"config": renamed(old["config"])}
    return new | {"sha256": digest(new)}


def _result_of_run(path: Path) -> dict[str, Any]:
    result_file = path.parent / "result.json"
    if not result_file.exists():
        raise DataError(f"{path.parent}: {UNFINISHED}")
    found: dict[str, Any] = _read(result_file)
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error})") from None


# converters by the keys of a file
_CONVERTERS: dict[tuple[str, ...], Callable[[dict[str, Any], Path], dict[str, Any]]] = {
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
