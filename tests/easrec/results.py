"""Results of runs, by hand."""

from easrec.config import Config
from easrec.data import Statistics
from easrec.result import DataSummary, Network, RunResult, SearchPart, Training
from easrec.space import space_for
from elasticnas.search import Candidate, SearchResult

ENVIRONMENT = {
    "command": "elasticnas easrec run",
    "commit": "c0ffee",
    "elasticnas": "0.2.0",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "python": "3.11.7",
    "system": "Linux x86_64",
    "processor": "a processor",
    "device": "cpu",
    "threads": 2,
}


def metrics(value, cutoffs=(5, 10, 20)):
    """The same value under every name."""
    names = [f"{metric}@{k}" for k in cutoffs for metric in ("recall", "mrr", "ndcg")]
    return {
        stage: {protocol: dict.fromkeys(names, value) for protocol in ("full", "unseen", "pop100")}
        for stage in ("validation", "test")
    }


def network(config, value=None, flops=2e6, hidden=8, inner=16, **choices):
    """Trained to ``value`` everywhere, or only measured."""
    arch = space_for(config.model).from_assignment({"candidate": 0, "depth": 1, **choices})
    training = Training(best_epoch=2, epochs=3, seconds=120.0, history=[{"epoch": 1, "loss": 4.5}])
    return Network(
        architecture=arch,
        hidden=hidden,
        inner=inner,
        flops=flops,
        flops_scoring_one_position=2 * hidden * 51,
        params=1000,
        latency_ms=1.5,
        latency_iqr_ms=0.25,
        training=None if value is None else training,
        metrics={} if value is None else metrics(value, config.cutoffs),
    )


def search(config, warnings=(), seconds=60.0, **choices):
    """One that found as much as random search, of two architectures."""
    space, early_stopping_metric = space_for(config.model), config.early_stopping_metric
    small, large = (
        Candidate(
            architecture=space.from_assignment({"candidate": candidate, "depth": 1, **choices}),
            costs={"flops": flops},
            metrics={early_stopping_metric: value},
        )
        for candidate, flops, value in ((0, 2e6, 0.25), (1, 3e6, 0.125))
    )
    return SearchResult(
        strategy="dynamic-constraint",
        metric=early_stopping_metric,
        direction="maximise",
        units={"flops": "FLOPs"},
        limits={"flops": 2e6},
        found=small,
        random=small,
        random_tried=(large, small),
        probabilities={"candidate": [0.75, 0.25, 0.0]},
        warnings=warnings,
        seconds=seconds,
        steps=40,
    )


def run_result(config=None, value=0.5, networks=None, **changes):
    """A finished run; the largest network is only measured unless ``networks`` says otherwise."""
    config = config or Config(compare=())
    largest = {"candidate": len(config.model.sizes()) - 1, "depth": config.model.layers}
    attention = {"attention": config.model.attention_choices[0]} if config.model.attention_choices else {}
    given = {
        "created": "2026-11-24T02:18:51+00:00",
        "seed": config.seed,
        "seconds": 300.0,
        "config": config,
        "data": DataSummary(statistics=Statistics(1000, 50, 9000, 1, 2, 3, True), fingerprint="ab" * 32),
        "environment": ENVIRONMENT,
        "search": None
        if config.search.strategy == "none"
        else SearchPart(result=search(config, **attention), peak_memory_bytes=2_000_000),
        "networks": networks
        or {
            "largest": network(config, flops=4e6, **largest, **attention),
            "found": network(config, value, **attention),
        },
        "fewest_negatives": {"validation": 100, "test": 99},
    }
    return RunResult(**given | changes)
