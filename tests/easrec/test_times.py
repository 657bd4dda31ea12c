"""Times as an input of the network: its law, what it sees, what a run says, and who refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import easrec
import elasticnas
from easrec import Config, Recommender
from easrec.config import ModelConfig
from easrec.data import Interactions, prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.export import export
from easrec.model import build, supernet
from easrec.reproduce.efficiency import measure
from easrec.space import space_for
from elasticnas.errors import ConfigError, DataError
from elasticnas.testing import assert_mask_slice_equal
from tests.easrec.runs import untrained_run
from tests.easrec.test_model import ITEMS, SMALL


def inputs():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, ITEMS + 1, (3, 7), generator=generator)
    ids[0, 4:] = ids[1, 6:] = 0
    times = torch.randint(10**6, (3, 7), generator=generator).sort(1).values
    until = torch.cat([times[:, 1:], times[:, -1:] + 1000], 1)
    return ids, times, until


def varied(network):
    """Spread values in place of the small initial ones, whose effect would be lost in rounding."""
    for name, parameter in network.named_parameters():
        if "relative" in name or "distances" in name:
            torch.nn.init.normal_(parameter, std=1.0)
    return network.double().eval()


def network(**changes):
    config = ModelConfig(**SMALL, **changes)
    torch.manual_seed(0)
    return varied(build(config, ITEMS, space_for(config).largest(), True))


@pytest.mark.parametrize("time_bias", ["own", "target"])
@pytest.mark.parametrize("attention", ["softmax", "hstu", ("softmax", "hstu")])
@pytest.mark.parametrize("mixing", ["block", "mask"])
@pytest.mark.parametrize("causal", [True, False])
def test_the_law(time_bias, attention, mixing, causal):
    kinds = {"attention_choices": attention} if isinstance(attention, tuple) else {"attention": attention}
    config = ModelConfig(**SMALL, time_bias=time_bias, mixing=mixing, **kinds)
    torch.manual_seed(0)
    model = varied(supernet(config, ITEMS, causal))
    axes, space = elasticnas.axes_of(model), space_for(config)
    ids, times, until = inputs()
    for arch in (space.smallest(), space.largest()):
        others = [space.largest(), space.smallest()]
        given = ids, None, times, until
        assert_mask_slice_equal(model, arch, *given, outputs_size=axes.hidden, others=others)


@pytest.mark.parametrize("attention", ["softmax", "hstu"])
def test_what_each_position_knows(attention):
    """``own`` depends on the times so far; ``target`` also on that of the next event; neither on anything later."""
    ids, times, until = inputs()
    ids = ids.clamp_min(1)
    for kind, reach in (("own", 3), ("target", 2)):
        model = network(attention=attention, time_bias=kind)
        changed = times.clone()
        changed[:, 3:] += 10**9
        after = torch.cat([changed[:, 1:], changed[:, -1:] + 1000], 1)
        one, other = model(ids, None, times, until), model(ids, None, changed, after)
        differs = (one - other).abs().amax(-1) > 1e-9
        assert not differs[:, :reach].any() and differs[:, reach].any()
    model = network(attention=attention, time_bias="own")
    torch.testing.assert_close(model(ids, None, times, until), model(ids, None, times, None), rtol=0, atol=0)


@pytest.mark.parametrize("time_bias", ["own", "target"])
def test_only_differences_count(time_bias):
    ids, times, until = inputs()
    model = network(time_bias=time_bias)
    shifted = model(ids, None, times + 10**9, until + 10**9)
    torch.testing.assert_close(shifted, model(ids, None, times, until), rtol=0, atol=1e-12)


def test_times_are_never_ignored_or_missed():
    ids, times, until = inputs()
    with pytest.raises(ConfigError, match=r"the network needs the times of its inputs \(model.time_bias=own\)"):
        network(time_bias="own")(ids)
    with pytest.raises(ConfigError, match=r"model.time_bias=target\): give them too"):
        network(time_bias="target")(ids, None, times)
    with pytest.raises(ConfigError, match="times are given, but the network uses none"):
        network()(ids, None, times, until)
    for kinds in ({"attention": "linrec"}, {"attention_choices": ("softmax", "linrec")}):
        with pytest.raises(ValidationError, match="time_bias=own: linrec has no scores to add it to"):
            ModelConfig(**SMALL, time_bias="own", **kinds)


def test_cosine_scores_are_those_of_torch():
    model = network(scores="cosine", temperature=0.1)
    ids = inputs()[0]
    found = model.scores(model(ids))
    expected = torch.nn.functional.cosine_similarity(model(ids)[..., None, :], model.items.weight, dim=-1) / 0.1
    torch.testing.assert_close(found[..., 1:], expected[..., 1:], rtol=0, atol=1e-10)
    assert (found[..., 0] == -torch.inf).all()


FAST = {
    "model": {"hidden": 16, "inner": 16, "length": 8, "layers": 1, "heads": 2, "time_bias": "target"},
    "search": {"epochs": 1, "random_architectures": 1},
    "train": {"epochs": 2},
    "compare": [],
}
HSTU = {"model.attention": "hstu", "model.scores": "cosine", "train.loss": "sampled", "train.sampled_from": "uniform"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose network knows the time of the next event, trained as HSTU is."""
    out = tmp_path_factory.mktemp("times") / "run"
    planted(users=60, items=40, length=12, seed=1).write(out.parent / "data.tsv")
    settings = FAST | {"train": FAST["train"] | {"sampled_items": 16, "sampled_correction": False}} | HSTU
    result = easrec.run(out.parent / "data.tsv", "default", out, settings=settings, progress=None)
    return out, result


def test_a_run_says_what_task_it_is(main, run):
    out, result = run
    line = "the time of the target is an input (model.time_bias=target), which is another task than ranking without it"
    assert line in (out / "result.md").read_text() and line in (out / "report.html").read_text()
    code, printed, said = main("easrec", "evaluate", "--out", out)
    assert code == 0, said
    assert line in " ".join(printed.split())
    code, printed, _ = main("easrec", "evaluate", "--out", out, "--json", "--beyond")
    assert json.loads(printed)["test/unseen/ndcg@10"] == result.networks["found"].metrics["test"]["unseen"]["ndcg@10"]
    data = Interactions.load(out / "data.npz")
    assert result.data.fingerprint == data.fingerprint_of(True) != data.fingerprint


def test_recommending_takes_a_time(main, run):
    out, _ = run
    data, recommender = Interactions.load(out / "data.npz"), Recommender.load(out)
    a, b = data.offsets[3], data.offsets[4]
    history, times = [data.item_ids[i] for i in data.items[a:b]], data.times[a:b].tolist()
    length = recommender.config.model.length

    def by_hand(at):
        ids = torch.from_numpy(data.items[a:b][-length:].astype(np.int64))[None]
        own = torch.tensor(times[-length:])[None]
        until = torch.cat([own[:, 1:], torch.tensor([[at]])], 1)
        return recommender.network.next_item(ids, torch.tensor([ids.shape[1]]), own, until)[0]

    def asked(*more):
        code, printed, said = main("easrec", "recommend", "--out", out, "--user", data.user_ids[3], "--json", *more)
        assert code == 0, said
        return json.loads(printed), said

    last = int(data.times.max())
    for at, options in ((last, ()), (last + 86_400, ("--at", last + 86_400)), (946_684_800, ("--at", "2000-01-01"))):
        found, said = asked(*options)
        scores = by_hand(at)
        scores[torch.from_numpy(data.items[a:b].astype(np.int64))] = -torch.inf
        expected = scores.topk(10)
        assert found["scores"] == pytest.approx(expected.values.tolist(), abs=1e-4)
        assert ("the last time in the data; --at gives another" in said) == (not options)
    direct = recommender.recommend([history], 10, times=[times], at=last)
    assert [item for item, _ in direct[0]] == asked()[0]["items"]
    code, _, said = main("easrec", "recommend", "--out", out, "--users", "all", "--to", out / "all.csv")
    assert code == 0, said
    for options, message in (
        (("--user", data.user_ids[0], "--at", "soon"), "--at 'soon' is no time: give seconds since 1970"),
        (("--user", data.user_ids[0], "--at", "9" * 12), "--at '999999999999' is no time"),
        (("--history", history[0]), "--history has no times, which this network uses"),
        (("--stream",), "streaming cannot continue a network with model.time_bias=target"),
    ):
        code, _, said = main("easrec", "recommend", "--out", out, *options)
        assert code == 1 and message in said and said.strip().count("\n") == 0


def test_times_stay_with_their_histories(run):
    data, recommender = Interactions.load(run[0] / "data.npz"), Recommender.load(run[0])
    varied(recommender.network)
    a, last = data.offsets[3], int(data.times.max())
    # their lengths decide the order in which they are scored
    parts = [slice(a, a + length) for length in (7, 2, 5)]
    histories = [[data.item_ids[i] for i in data.items[part]] for part in parts]
    times = [data.times[part].tolist() for part in parts]
    answers = recommender.recommend(histories, 10, times=times, at=last)
    for history, when, answer in zip(histories, times, answers, strict=True):
        (alone,) = recommender.recommend([history], 10, times=[when], at=last)
        assert [item for item, _ in answer] == [item for item, _ in alone]
        assert [score for _, score in answer] == pytest.approx([score for _, score in alone], abs=1e-9)


def test_python_refuses_what_the_network_cannot_use(run, tmp_path):
    recommender = Recommender.load(run[0])
    item = recommender.item_ids[1]
    with pytest.raises(DataError, match=r"uses the time of each item of a history \(model.time_bias=target\)"):
        recommender.recommend([[item]], 3)
    with pytest.raises(DataError, match="give times, as many as items"):
        recommender.recommend([[item]], 3, times=[[1, 2]], at=3)
    with pytest.raises(DataError, match=r"uses the time of recommendation .*: give at"):
        recommender.recommend([[item]], 3, times=[[1]])
    for wrong, message in (
        (1_700_000_000_000, "the time 1700000000000 is not in seconds"),
        (1.5, "times are whole seconds"),
        (float("nan"), "times are whole seconds"),
        ("2026-11-27", "times are whole seconds"),
        (2**70, "times are whole seconds"),
    ):
        for times, at in (([[wrong]], 3), ([[1]], wrong)):
            with pytest.raises(DataError, match=message):
                recommender.recommend([[item]], 3, times=times, at=at)
    with pytest.raises(ConfigError, match="an exported scorer has no input for times"):
        export(recommender, "torch", tmp_path / "model.pt2")


def test_what_a_network_with_times_costs_is_measured(run):
    out = run[0]
    found, broken = measure({"timed": out / "model"}, out / "data.npz", "cpu", 16, 1)
    assert not broken and len(found["timed"]["seconds"]) == 5 and len(found["timed"]["memory_bytes"]) == 3


def test_refit_knows_the_times(main, run, tmp_path):
    code, _, said = main("easrec", "refit", "--out", run[0], "--to", tmp_path / "served")
    assert code == 0, said
    code, printed, said = main("easrec", "recommend", "--out", tmp_path / "served", "--user", "user-00003", "--json")
    assert code == 0 and len(json.loads(printed)["items"]) == 10


def test_own_times_and_none(main, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "none").mkdir()
    planted(users=10, items=40, length=12, seed=1).write(tmp_path / "data.tsv")
    data = prepare(read_interactions(tmp_path / "data.tsv"))
    model = FAST["model"] | {"time_bias": "own"}
    untrained_run(tmp_path / "own", data, model)
    untrained_run(tmp_path / "none", data, FAST["model"] | {"time_bias": "none"})
    code, printed, said = main("easrec", "recommend", "--out", tmp_path / "own", "--user", "user-00003", "--json")
    assert code == 0 and not said and json.loads(printed)["items"]
    for folder in ("own", "none"):
        options = "--out", tmp_path / folder, "--user", "user-00003", "--at", "5"
        code, _, said = main("easrec", "recommend", *options)
        assert code == 1 and "--at 5: the network does not use the time of recommendation" in said
    with pytest.raises(DataError, match=r"does not use the time of recommendation .*: leave at out"):
        Recommender.load(tmp_path / "own").recommend([data.item_ids[1:2]], 3, times=[[1]], at=3)
    with pytest.raises(DataError, match="the network uses none"):
        Recommender.load(tmp_path / "none").recommend([data.item_ids[1:2]], 3, times=[[1]])
    replace(data, times=data.times + 5).save(tmp_path / "own" / "data.npz")
    code, _, said = main("easrec", "recommend", "--out", tmp_path / "own", "--user", "user-00003")
    assert code == 1 and "is not the data of the run in this folder" in said


def test_data_without_times_is_refused(tmp_path):
    planted(users=10, items=40, length=12, seed=1).write(tmp_path / "data.tsv")
    settings = {"settings": FAST, "progress": None}
    with pytest.raises(ConfigError, match=r"model.time_bias=target needs the times .*: name their column by --time"):
        easrec.run(tmp_path / "data.tsv", "default", tmp_path / "run", time="none", **settings)
    old = replace(prepare(read_interactions(tmp_path / "data.tsv")), times=None)
    with pytest.raises(ConfigError, match="prepare the data again, as the file was prepared without keeping them"):
        easrec.run(old, "default", tmp_path / "run", **settings)
    assert Config().updated(FAST).model.uses_times
