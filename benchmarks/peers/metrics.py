"""Expected values of RecTools' and ranx' metrics on generated lists, for tests/easrec/evaluation/test_peers_metrics.py.

In an environment of its own: ``pip install rectools==0.19.0 ranx==0.3.21``, then
``python benchmarks/peers/metrics.py tests/easrec/evaluation/peers.json``.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

USERS, ITEMS, K, SEED = 40, 25, 10, 0


def generated():
    """Lists of k items with one target for each user, and training interactions with repeats."""
    rng = np.random.default_rng(SEED)
    lists = [rng.permutation(np.arange(1, ITEMS + 1))[:K].tolist() for _ in range(USERS)]
    # half of the targets are in the list
    targets = [int(rng.choice(items)) if rng.random() < 0.5 else int(rng.integers(1, ITEMS + 1)) for items in lists]
    popularity = 1 / np.arange(1, ITEMS - 1)  # the last two items have no training interaction
    training = [(1 + rng.choice(ITEMS - 2, 8, p=popularity / popularity.sum())).tolist() for _ in range(USERS)]
    return {"lists": lists, "targets": targets, "training": training, "items": ITEMS}


def rectools(data):
    """Values of RecTools."""
    import pandas as pd
    from rectools import Columns
    from rectools.metrics import MRR, NDCG, AvgRecPopularity, CatalogCoverage, MeanInvUserFreq, Recall, calc_metrics

    shown = pd.DataFrame(
        [(u, item, rank) for u, items in enumerate(data["lists"]) for rank, item in enumerate(items, 1)],
        columns=[Columns.User, Columns.Item, Columns.Rank],
    )
    pairs = [Columns.User, Columns.Item]
    targets = pd.DataFrame(list(enumerate(data["targets"])), columns=pairs)
    events = pd.DataFrame([(u, item) for u, items in enumerate(data["training"]) for item in items], columns=pairs)
    distinct = events.drop_duplicates()
    catalog = list(range(1, data["items"] + 1))
    found = {}
    for k in (1, 5, 10):
        accuracy = {"recall": Recall(k), "mrr": MRR(k), "ndcg": NDCG(k, divide_by_achievable=True)}
        found |= {f"{n}@{k}": v for n, v in calc_metrics(accuracy, shown, targets, catalog=catalog).items()}
        novelty = calc_metrics({"v": MeanInvUserFreq(k)}, shown, prev_interactions=distinct)["v"]
        popularity = calc_metrics({"v": AvgRecPopularity(k)}, shown, prev_interactions=events)["v"]
        coverage = calc_metrics({"v": CatalogCoverage(k, normalize=True)}, shown, catalog=catalog)["v"]
        found |= {f"novelty@{k}": novelty, f"popularity@{k}": popularity, f"coverage@{k}": coverage}
    return {name: float(value) for name, value in found.items()}


def ranx(data):
    """Values of ranx."""
    from ranx import Qrels, Run, evaluate

    qrels = Qrels({f"u{u}": {f"i{target}": 1} for u, target in enumerate(data["targets"])})
    run = Run({f"u{u}": {f"i{i}": float(-r) for r, i in enumerate(items)} for u, items in enumerate(data["lists"])})
    names = [f"{metric}@{k}" for metric in ("recall", "mrr", "ndcg") for k in (1, 5, 10)]
    return {name: float(value) for name, value in evaluate(qrels, run, names).items()}


def main(path):
    """Write lists and expected values."""
    data = generated()
    expected = {"rectools": rectools(data), "ranx": ranx(data)}
    versions = {name: version(name) for name in ("rectools", "ranx", "numpy", "pandas")}
    Path(path).write_text(json.dumps({"versions": versions, "expected": expected, **data}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
