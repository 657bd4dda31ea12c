"""The readable page of a run, made from its result alone."""

from typing import Any

from easrec.config import Config
from easrec.figures import NETWORKS, comparison
from elasticnas.report import bullets, table
from elasticnas.settings import differences

__all__ = ["page"]


def page(result: dict[str, Any]) -> str:
    """Markdown: how it was measured, the data, the networks side by side, the search, times and settings."""
    where, data = result["environment"], result["data"]
    head, sections = comparison(result)
    parts = [
        f"# EASRec, {data['users']:,} users, {data['items']:,} items",
        bullets(
            {
                "command": f"`{where['command']}`",
                "commit": where["commit"] or f"release {where['elasticnas']}",
                "seed": result["seed"],
                "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
                "versions": f"elasticnas {where['elasticnas']}, torch {where['torch']}, Python {where['python']}",
                "data": f"{data['interactions']:,} interactions, fingerprint `{data['fingerprint'][:12]}`",
                **_features(data),
                "date": result["created"],
            }
        ),
        "## Networks",
        table(head, [row for section in sections for row in section]),
        "FLOPs are the encoder's for one sequence of full length; latency is the median of one sequence scored once.",
        "## Search",
        bullets(_search(result)),
        "## Training",
        _training(result),
        "## Settings that differ from the defaults",
        bullets(_changed(Config.model_validate(result["config"]))) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def _features(data: dict[str, Any]) -> dict[str, str]:
    if "features" not in data:
        return {}
    f = data["features"]
    without = f["items_missing"] + f["items_without"]
    return {"features": f"{f['features']:,} of {', '.join(f['columns'])}; {without:,} items have none"}


def _search(result: dict[str, Any]) -> dict[str, Any]:
    steer, strategy = result["config"]["steer"], result["config"]["search"]["strategy"]
    if strategy == "none":
        return {"strategy": "none: the largest network, from random weights"}
    tried = result["search/random_tried"]
    best = max((candidate["metrics"][steer] for candidate in tried), default=float("nan"))
    limit = result["search/limit_flops"]
    items = {
        "strategy": strategy,
        "time": f"{result['search/seconds'] / 60:.1f} min, {result['search/steps']:,} steps",
        **({"peak memory": f"{peak / 1e6:,.0f} MB"} if (peak := result.get("search/peak_memory_bytes")) else {}),
        "budget": "none" if limit is None else f"{limit / 1e6:.2f} MFLOPs",
        f"found, with the supernet's weights, validation {steer}": f"{result['search/found_inherited'][steer]:.4f}",
        f"best of {len(tried)} random architectures, likewise": f"{best:.4f}",
    }
    for name, values in result["search/probabilities"].items():
        items[f"final probabilities of {name}"] = ", ".join(f"{value:.3f}" for value in values)
    for number, line in enumerate(result["search/warnings"], 1):
        items[f"warning {number}"] = line
    return items


def _training(result: dict[str, Any]) -> str:
    rows = [
        [
            label,
            str(result[f"{name}/train/epochs"]),
            str(result[f"{name}/train/best_epoch"]),
            f"{result[f'{name}/train/seconds'] / 60:.1f}",
        ]
        for name, label in NETWORKS.items()
        if f"{name}/train/epochs" in result
    ]
    return table(["network", "epochs", "best epoch", "minutes"], rows)


def _changed(config: Config) -> dict[str, str]:
    return {f"`{name}`": f"{value} (default {default})" for name, (value, default) in differences(config).items()}
