"""conclusion: the outcome of a run in one sentence."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from easrec.sizes import sizes_sentence

if TYPE_CHECKING:
    from easrec.result import RunResult

__all__ = ["conclusion"]


def conclusion(result: "RunResult[Any]", picture: Path | None) -> str:
    """Describe the found network: its share of the FLOPs, and its test metric next to those of the others.

    Args:
        result: Result of a run.
        picture: Path of the plot; None if there is none.
    """
    found, largest, metric = result.networks["found"], result.networks["largest"], result.config.early_stopping_metric
    verb = "The search found" if result.search is not None else "Without a search, the run trained"
    sentence = (
        f"{verb} a network of {sizes_sentence(found.architecture, found)}, with "
        f"{found.flops / largest.flops:.0%} of the FLOPs of the largest network and a test {metric} of "
        f"{_test(result, 'found'):.4f}"
    )
    others = _others(result)
    comparison = f" ({'; '.join(f'{label}: {value:.4f}' for label, value in others.items())})" if others else ""
    return f"{sentence}{comparison}{'' if picture is None else f'; the plot is {picture}'}."


def _test(result: "RunResult[Any]", name: Any) -> float:
    protocol, _, metric = result.config.early_stopping_metric.partition("/")
    return result.figure(name, "test", protocol, metric)


def _others(result: "RunResult[Any]") -> dict[str, float]:
    """Return the test metrics that the found network is compared with, by description."""
    found, others = result.networks["found"], {}
    for name, label in (("random", "network of random search"), ("largest", "largest network")):
        network = result.networks.get(name)  # type: ignore[call-overload]
        if network is None or network.training is None or (result.search is None and name == "random"):
            continue
        same = ", the same one" if network.architecture == found.architecture else ""
        others[label + same] = _test(result, name)
    protocol, _, metric = result.config.early_stopping_metric.partition("/")
    best = (result.best_reachable or {}).get("test", {}).get(protocol, {}).get(metric)
    return others if best is None else others | {"best that any model can reach": best}
