"""Generated interactions: seeded, and no recommender beats the metric that they state."""

import numpy as np
import polars as pl
import pytest

from easrec.data import Split, prepare
from easrec.data.synthetic import planted
from easrec.evaluation import Evaluator, draw_negatives


def test_the_same_seed_draws_the_same():
    one, same, other = planted(users=20), planted(users=20), planted(users=20, seed=1)
    assert one.frame.equals(same.frame) and one.best == same.best and not one.frame.equals(other.frame)


def test_sizes_are_as_asked():
    frame = planted(users=50, items=24, categories=4, length=12).frame
    lengths = frame.group_by("user").len()["len"]
    assert frame["user"].n_unique() == 50 and frame["item"].n_unique() <= 24
    assert lengths.min() >= 8 and lengths.max() <= 16


@pytest.mark.parametrize("stage", ["validation", "test"])
def test_a_recommender_that_knows_the_rule_reaches_the_stated_metrics(stage):
    """The evaluation of the recipe, fed with the rule's own probabilities read from the data's construction."""
    import torch

    generated = planted(users=400, items=40, categories=4, length=12, noise=0.2)
    data = prepare(generated.frame)
    split = Split(data)
    # the table and the order of the items, drawn again as the generator draws them
    rng = np.random.default_rng([0, 4])
    table = rng.integers(4, size=(4, 4))
    zipf = 1 / np.arange(1, 11)
    zipf /= zipf.sum()
    names, number = {}, {item: i for i, item in enumerate(data.item_ids)}
    lengths = rng.integers(12 - 4, 12 + 4 + 1, size=400)
    for n in lengths:  # pass over the draws of the sequences
        rng.integers(4, size=2)
        for _ in range(n):
            rng.choice(40, p=np.full(40, 1 / 40))
    for item, shuffled in enumerate(rng.permutation(40)):
        names[f"item-{shuffled:04d}"] = item
    category = np.zeros(split.items + 1, dtype=int)
    weight = np.zeros(split.items + 1)
    for name, i in number.items():
        if i:
            category[i], weight[i] = names[name] // 10, zipf[names[name] % 10]

    def next_item(inputs, lengths):
        last = inputs[torch.arange(len(inputs)), lengths - 1].numpy()
        before = inputs[torch.arange(len(inputs)), (lengths - 2).clamp(min=0)].numpy()
        c = table[category[before], category[last]]
        p = (0.8 * (category[None] == c[:, None]) + 0.2 / 4) * weight
        return torch.from_numpy(p)

    negatives = draw_negatives(split.training.counts(split.items), split.complete(), 10, 0)
    evaluator = Evaluator(split.history(stage), split.targets(stage), negatives, 30, (1, 5, 10, 20))
    report = evaluator.evaluate(next_item)
    for name, value in generated.best[stage].items():
        assert report["full"][name] == pytest.approx(value, abs=0.01), name


def test_the_expectation_is_near_what_is_drawn():
    generated = planted(users=4000, length=9)
    for stage in ("validation", "test"):
        assert generated.best[stage]["ndcg@10"] == pytest.approx(generated.expected["ndcg@10"], abs=0.02)


def test_written_files_are_read_back(tmp_path):
    from easrec.data import read_interactions

    generated = planted(users=20)
    generated.write(tmp_path / "log.tsv")
    assert read_interactions(tmp_path / "log.tsv").equals(
        generated.frame.with_columns((pl.col("time") * 10**9).cast(pl.Int64))
    )
