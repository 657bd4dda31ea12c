"""What a run shows on the terminal, of results written by hand: tables, the sentence, the plot."""

import io
import sys

import pytest
from rich.console import Console

from easrec.conclusion import conclusion
from easrec.config import Config
from easrec.figures import metrics_table, summary_table
from easrec.picture import draw_in_folder, panels
from easrec.report import page
from tests.easrec.results import metrics, network, run_result
from tests.rendering import WIDTHS, cells, rendered

CONFIG = Config(cutoffs=(5, 10), early_stopping_metric="unseen/ndcg@5")
BEST = {"validation": {"full": {"ndcg@5": 0.8125}}, "test": {"full": {"ndcg@5": 0.875, "mrr@5": 0.9375}}}


def compared(config=CONFIG, large=(), **changes):
    attention = {"attention": "hstu"} if config.model.attention_choices else {}
    networks = {
        "largest": network(config, 0.75, flops=4e9, hidden=128, inner=256, candidate=2, depth=4, **attention),
        "found": network(config, 0.5, flops=1e9, **attention),
        "random": network(config, 0.25, flops=2e9, **attention),
    }
    networks["largest"] = networks["largest"].model_copy(update=dict(large))
    for each in networks.values():  # what is of validation must not pass for test
        each.metrics["validation"] = metrics(0.0625, config.cutoffs)["validation"]
    return run_result(config, networks=networks, **changes)


@pytest.mark.parametrize("width", WIDTHS)
def test_networks_stand_across_and_figures_down_at_any_width(width):
    config = CONFIG.updated({"model.attention_choices": ["linrec", "hstu"]})
    large = {"params": 123_456_789, "latency_ms": 1234.56}
    rows = cells(rendered(summary_table(compared(config, large), "all of it"), width))
    assert rows[:3] == [["all of it"], ["found by", "random"], ["largest", "search", "search"]]
    assert rows[3:] == [
        ["attention", "hstu", "hstu", "hstu"],
        ["hidden", "128", "8", "8"],
        ["inner", "256", "16", "16"],
        ["layers", "4", "1", "1"],
        ["encoder MFLOPs", "4000.00", "1000.00", "2000.00"],
        ["of the largest", "100%", "25%", "50%"],
        ["parameters", "123,456,789", "1,000", "1,000"],
        ["latency, ms", "1234.56", "1.50", "1.50"],
        ["test, unseen"],
        *([f"{metric}@5", "0.7500", "0.5000", "0.2500"] for metric in ("recall", "mrr", "ndcg")),
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_all_protocols_of_both_stages_are_shown_where_asked(width):
    rows = cells(rendered(summary_table(compared(best_reachable=BEST), every=True), width))
    heads = [row[0] for row in rows if row[0].startswith(("test", "validation"))]
    protocols = ("full", "unseen", "pop100")
    assert heads == [f"{stage}, {protocol}" for stage in ("validation", "test") for protocol in protocols]
    assert rows[0][2:] == ["best"] and rows[1][-1] == "reachable"
    start = rows.index(["test, full"])
    assert rows[start + 2] == ["mrr@5", "0.7500", "0.5000", "0.2500", "0.9375"]
    assert rows[start + 3] == ["ndcg@5", "0.7500", "0.5000", "0.2500", "0.8750"]
    assert sum(row[0] == "ndcg@5" for row in rows) == 6


def test_a_network_that_is_only_measured_has_no_metrics():
    rows = cells(rendered(summary_table(run_result(Config(compare=()))), 80))
    assert ["latency, ms", "1.50", "1.50"] in rows and ["ndcg@10", "-", "0.5000"] in rows


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluation_shows_one_protocol_or_all(width):
    config = Config(cutoffs=(1, 20), early_stopping_metric="pop100/mrr@20")
    reports = metrics(0.5, config.cutoffs)
    for number, stage in enumerate(reports):
        reports[stage]["unseen"]["ndcg@20"], reports[stage]["pop100"]["ndcg@20"] = number / 8, number / 4
    one = cells(rendered(metrics_table(reports, config, every=False), width))
    assert one[0] == ["pop100"] and len(one) == 1 + 2 * 2 * 3 and one[-1] == ["test ndcg@20", "0.2500"]
    every = cells(rendered(metrics_table(reports, config, every=True), width))
    assert every[0] == ["full", "unseen", "pop100"]
    assert every[-1] == ["test ndcg@20", "0.5000", "0.1250", "0.2500"]
    assert ["validation ndcg@20", "0.5000", "0.0000", "0.0000"] in every


def test_one_sentence_says_what_was_found_beside_what_there_is():
    best = {"test": {"unseen": {"ndcg@5": 0.875}}}
    assert conclusion(compared(best_reachable=best), "runs/x/pareto.png") == (
        "The search found a network of 1 layer, hidden size 8 and inner size 16, with 25% of the FLOPs of the largest "
        "network and a test unseen/ndcg@5 of 0.5000 (network of random search, the same one: 0.2500; largest network: "
        "0.7500; best that any model can reach: 0.8750); the plot is runs/x/pareto.png."
    )
    # not reachable under the protocol that counts; nothing trained beside it; no plot
    alone = conclusion(run_result(Config(compare=()), best_reachable=BEST), None)
    assert alone.endswith("50% of the FLOPs of the largest network and a test unseen/ndcg@10 of 0.5000.")


def test_without_a_search_the_sentence_claims_none():
    config = Config().updated({"search.strategy": "none", "search.budget": None, "compare": []})
    assert conclusion(run_result(config), None).startswith("Without a search, the run trained a network of 1 layer, ")


def test_the_plot_shows_the_figures_of_the_result():
    best = {"test": {"unseen": {"ndcg@5": 0.875}}}
    searched, trained = panels(compared(best_reachable=best)).values()
    assert [(each.name, each.points) for each in searched] == [
        ("found by search", [(2.0, 0.25)]),
        ("random search, front", [(2.0, 0.25)]),
        ("random search, evaluated", [(3.0, 0.125), (2.0, 0.25)]),
    ]
    assert [(each.name, each.points) for each in trained] == [
        ("found by search", [(1000.0, 0.5)]),
        ("random search", [(2000.0, 0.25)]),
        ("largest", [(4000.0, 0.75)]),
        ("best reachable", [(1000.0, 0.875), (4000.0, 0.875)]),
    ]


def test_the_plot_is_written_into_the_folder_or_the_extra_is_named(tmp_path, monkeypatch):
    console = Console(file=io.StringIO(), width=60)
    path = draw_in_folder(compared(), tmp_path, console)
    assert path == tmp_path / "pareto.png" and path.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw_in_folder(compared(), tmp_path, console) is None
    assert console.file.getvalue() == ("no plot: matplotlib is not installed; pip install 'elasticnas[plot]'\n")


@pytest.mark.parametrize(("best", "shown"), [(2, False), (3, True)])
def test_training_that_stopped_while_it_improved_is_named(best, shown):
    result = run_result(Config(compare=()))
    training = result.networks["found"].training.model_copy(update={"best_epoch": best, "epochs": 3})
    result.networks["found"] = result.networks["found"].model_copy(update={"training": training})
    line = "still improving in the last epoch: found by search; raise train.epochs for better figures"
    assert (line in page(result)) == shown
    assert (line in " ".join(str(result).split())) == shown


def test_baselines_stand_beside_the_networks():
    found = {"popularity": metrics(0.125), "last item": metrics(0.375)}
    result = run_result(Config(compare=()), baselines=found)
    rows = cells(rendered(summary_table(result, every=True), 120))
    assert rows[1][-2:] == ["popularity", "item"]
    assert rows[rows.index(["test, full"]) + 1] == ["recall@10", "-", "0.5000", "0.1250", "0.3750"]
    assert "| test pop100 ndcg@10 | - | 0.5000 | 0.1250 | 0.3750 |" in page(result)
    last = result.table()[-1]
    assert last["network"] == "last item" and last["test/unseen/mrr@5"] == 0.375 and last["flops"] is None
    rows = cells(rendered(metrics_table(metrics(0.5), Config(), every=False, baselines=found), 120))
    assert ["test ndcg@10, last item", "0.3750"] in rows
    assert len([row for row in rows if row[0].startswith("validation")]) == 9 + 2 * 3
