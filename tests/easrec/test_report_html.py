"""The report of a run of EASRec: its figures are the result's, with error bars over users."""

import numpy as np
import pytest

from easrec.config import Config
from easrec.evaluation import standard_errors_at
from tests.easrec.results import metrics, network, run_result

SMALL = Config(compare=("largest",), cutoffs=(5, 10))


def compared(**changes):
    found = network(SMALL, 0.5).model_copy(update={"standard_errors": metrics(0.01, SMALL.cutoffs)})
    networks = {"largest": network(SMALL, 0.75, 4e6, 128, 256, candidate=2, depth=4), "found": found}
    return run_result(SMALL, networks=networks, evaluated_users={"validation": 900, "test": 1000}, **changes)


def sections(result, folder=None):
    return {section.title: section.parts for section in result.report(folder).sections if section.parts}


def test_accuracy_has_bars_of_two_standard_errors():
    chart = sections(compared(best_reachable={"test": {"unseen": {"ndcg@10": 0.875}}}))["Networks"][0]
    found, largest = chart.series
    assert (largest.points, largest.intervals) == ([(4.0, 0.75)], [None])
    assert (found.points, found.intervals) == ([(2.0, 0.5)], [pytest.approx((0.4804, 0.5196))])
    assert chart.horizontal == {"best reachable": 0.875} and "over 1,000 users" in chart.note
    assert "no standard errors" in sections(run_result(SMALL))["Networks"][0].note


def test_tables_have_the_metrics_of_the_chosen_protocol_and_all_of_them_below():
    shown = sections(compared())
    rows = {row[0]: row[1:] for row in shown["Networks"][1].rows}
    assert rows["encoder MFLOPs"] == ["4.00 (100%)", "2.00 (50%)"] and rows["hidden, inner, layers"][0] == "128, 256, 4"
    assert rows["test unseen ndcg@10"] == ["0.7500", "0.5000 ± 0.0196"] and "test full ndcg@10" not in rows
    every = {row[0] for row in shown["Every metric"][0].rows}
    assert {"validation full recall@5", "test pop100 mrr@10"} <= every


def test_data_training_and_search_are_shown(tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "metrics.jsonl").write_text('{"step": 1, "loss": 4.5}\n')
    (tmp_path / "train-8-16-1").mkdir()
    (tmp_path / "train-8-16-1" / "metrics.jsonl").write_text('{"step": 1, "loss": 3.5}\n')
    shown = sections(compared(), tmp_path)
    assert shown["Data"][0].facts["interactions per user"] == "9.0" and shown["Data"][0].facts["density"] == "18.00%"
    assert shown["Search history"][0].series[0].points == [(1, 4.5)]
    loss, steps, table = shown["Training"]
    assert loss.series[0].points == [(1, 4.5)] and steps.title == "Loss of 8-16-1"
    assert table.rows == [["largest", "3", "2", "2.0"], ["found by search", "3", "2", "2.0"]]


def test_without_a_search_the_architecture_is_drawn():
    config = Config().updated({"search.strategy": "none", "search.budget": None, "compare": []})
    (drawn,) = sections(run_result(config))["Architecture"]
    assert drawn.title.startswith("Largest network") and drawn.layers()[0]["hidden"][0] == 64


def test_columns_of_features_are_text():
    from easrec.result import FeatureSummary

    features = FeatureSummary(columns=["<script>x</script>"], features=3, items_missing=0, items_without=0)
    result = compared()
    text = result.model_copy(update={"data": result.data.model_copy(update={"features": features})}).report().html()
    assert "3 of &lt;script&gt;x&lt;/script&gt;" in text and "<script>x" not in text


def test_standard_errors_are_those_of_numpy():
    ranks = np.array([1, 2, 3, 11, 40])
    errors = standard_errors_at(ranks, (10,))
    hits, gains = [1, 1, 1, 0, 0], [1, 1 / 2, 1 / 3, 0, 0]
    assert errors["recall@10"] == pytest.approx(np.std(hits, ddof=1) / 5**0.5)
    assert errors["mrr@10"] == pytest.approx(np.std(gains, ddof=1) / 5**0.5)
    assert standard_errors_at(np.array([1])) == {}
