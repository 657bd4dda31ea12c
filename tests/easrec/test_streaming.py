"""Streaming: after every event, the scores that the network gives for the whole window."""

import json

import numpy as np
import pytest
import torch
from torch._inductor.exc import InvalidCxxCompiler
from typer.testing import CliRunner

from easrec import compiled_step
from easrec.artifact import Recommender
from easrec.cli import commands
from easrec.config import ModelConfig
from easrec.data import Interactions, ItemFeatures, prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.model import build, supernet
from easrec.space import space_for
from easrec.streaming import Live, Streamer
from elasticnas import extract
from elasticnas.errors import ConfigError, DataError
from tests.easrec.runs import untrained_run

ITEMS, LENGTH = 30, 8
SMALL = {"hidden": 16, "inner": 32, "length": LENGTH, "layers": 3, "heads": 2, "attention": "linrec"}


def network(causal=True, features=None, **changes):
    config = ModelConfig(**(SMALL | changes))
    torch.manual_seed(0)
    return build(config, ITEMS, space_for(config).largest(), causal, features).double().eval()


def events(users, count):
    return torch.randint(1, ITEMS + 1, (users, count), generator=torch.Generator().manual_seed(1))


def of_window(model, items):
    return model.next_item(torch.tensor([items]), torch.tensor([len(items)]))[0]


FEATURES = ItemFeatures(  # item i has the features i % 3 + 1, and every other one the fourth as well
    np.concatenate([[0, 0], np.cumsum([1 + i % 2 for i in range(1, ITEMS + 1)])]),
    np.concatenate([[i % 3 + 1, 4][: 1 + i % 2] for i in range(1, ITEMS + 1)]).astype(np.int32),
    ["", "a", "b", "c", "d"],
    ["g"],
)


@pytest.mark.parametrize("gates", [{"gate_layers": 0}, {"gate_input": "position"}, {"gate_input": "pooled"}])
@pytest.mark.parametrize("key_norm", ["column", "token"])
@pytest.mark.parametrize("embedding_norm", [True, False])
def test_equals_the_network_over_the_whole_history(gates, key_norm, embedding_norm):
    follow(network(key_norm=key_norm, embedding_norm=embedding_norm, **gates))


@pytest.mark.parametrize("gates", [{"gate_layers": 0}, {"gate_input": "position"}, {"gate_input": "pooled"}])
@pytest.mark.parametrize("attention", ["softmax", "hstu"])
@pytest.mark.parametrize("scores", ["dot", "cosine"])
def test_keys_and_values_are_remembered(gates, attention, scores):
    follow(network(attention=attention, scores=scores, **gates))


@pytest.fixture
def exported(monkeypatch):
    """Programs are run by torch, without machine code, and counted."""
    programs = []

    def run(program):
        programs.append(program)
        return program.module()

    monkeypatch.setattr(compiled_step, "compiled", run)
    return programs


TIMES = torch.randint(10**6, (2, 40), generator=torch.Generator().manual_seed(2)).sort(1).values


@pytest.mark.parametrize("attention", ["softmax", "hstu"])
@pytest.mark.parametrize("compiled", [False, True])
def test_times_of_events_are_remembered_through_restarts(attention, compiled, exported):
    model, keep = network(attention=attention, time_bias="own"), 3
    for name, parameter in model.named_parameters():
        if "relative" in name:
            torch.nn.init.normal_(parameter)
    streamer = Streamer(model, keep, compiled)
    items, counts = events(2, 40), [1, 5]

    def of_events(user, first, stop):
        part = slice(first, stop)
        when = TIMES[user : user + 1, part]
        return model.next_item(items[user : user + 1, part], torch.tensor([stop - first]), when, when)[0]

    def lists(table):
        return [table[user, :n].tolist() for user, n in enumerate(counts)]

    stream, scores = streamer.start(lists(items), lists(TIMES))
    torch.testing.assert_close(scores[1], of_events(1, 0, 5), rtol=1e-10, atol=1e-12)
    begins = [0, 0]
    for _ in range(20):
        at = torch.arange(2), torch.tensor(counts)
        scores = streamer.update(stream, items[at], TIMES[at])
        for user in range(2):
            counts[user] += 1
            if counts[user] - begins[user] > LENGTH:
                begins[user] = counts[user] - keep
            expected = of_events(user, begins[user], counts[user])
            torch.testing.assert_close(scores[user], expected, rtol=1e-10, atol=1e-12)
    assert min(begins) > LENGTH


def follow(model):
    """Three users, from histories of different lengths, through four events."""
    streamer = Streamer(model)
    items = events(3, LENGTH)
    begun = [2, 1, 4]
    stream, scores = streamer.start([items[u, :n].tolist() for u, n in enumerate(begun)])
    seen = [items[u, :n].tolist() for u, n in enumerate(begun)]
    for step in range(4):
        for user, history in enumerate(seen):
            torch.testing.assert_close(scores[user], of_window(model, history), rtol=1e-10, atol=1e-12)
        new = items[torch.arange(3), torch.tensor([n + step for n in begun])]
        scores = streamer.update(stream, new)
        for history, item in zip(seen, new.tolist(), strict=True):
            history.append(item)
    assert stream.seen.tolist() == [6, 5, 8]


@pytest.mark.parametrize("attention", ["linrec", "softmax", "hstu"])
def test_a_full_window_starts_again_from_the_last_events(attention):
    model, keep = network(attention=attention), 3
    streamer = Streamer(model, keep)
    items = events(2, 40)
    stream, _ = streamer.start([items[0, :1].tolist(), items[1, :5].tolist()])
    windows = [items[0, :1].tolist(), items[1, :5].tolist()]
    restarts = 0
    for step in range(30):
        new = torch.stack([items[0, 1 + step], items[1, 5 + step]])
        scores = streamer.update(stream, new)
        for user in range(2):
            windows[user].append(int(new[user]))
            if len(windows[user]) > LENGTH:
                windows[user], restarts = windows[user][-keep:], restarts + 1
            torch.testing.assert_close(scores[user], of_window(model, windows[user]), rtol=1e-10, atol=1e-12)
        assert stream.seen.tolist() == [len(window) for window in windows]
    assert restarts >= 8


@pytest.mark.parametrize("gates", [{"gate_layers": 0}, {"gate_input": "pooled"}, {"attention": "hstu"}])
def test_one_program_steps_on_whatever_the_state(gates, exported):
    model, items = network(**gates), events(2, 20)
    compiled = Streamer(model, keep=3, compiled=True)
    windows = [each.tolist() for each in items[:, :2]]
    stream, _ = compiled.start(windows)
    for step in range(2, 18):  # through two restarts
        scores = compiled.update(stream, items[:, step])
        for user, window in enumerate(windows):
            window.append(int(items[user, step]))
            window[:] = window[-3:] if len(window) > LENGTH else window
            torch.testing.assert_close(scores[user], of_window(model, window), rtol=1e-10, atol=1e-12)
    assert len(exported) == 1


def test_one_program_is_for_one_user_and_one_for_any_other_number(exported):
    model, items = network(), events(12, 4)
    compiled = Streamer(model, compiled=True)
    for users in (2, 1, *range(3, 13)):
        stream, _ = compiled.start(items[:users, :3].tolist())
        scores = compiled.update(stream, items[:users, 3])
        torch.testing.assert_close(scores[-1], of_window(model, items[users - 1].tolist()), rtol=1e-10, atol=1e-12)
    assert len(exported) == 2


@pytest.mark.parametrize("attention", ["linrec", "softmax"])
def test_each_type_of_the_tensors_has_a_program(attention, exported):
    """Machine code does not check types: the program of another would give wrong scores without an error."""
    model = network(attention=attention).float()
    compiled, plain = Streamer(model, compiled=True), Streamer(model)

    def require_equal(autocast):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found, expected = (s.update(s.start([[1, 2]])[0], torch.tensor([3])) for s in (compiled, plain))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    for autocast in (True, False, True):
        require_equal(autocast)
    model.double()
    require_equal(autocast=False)
    assert len(exported) == 3


@pytest.mark.parametrize("users", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_machine_code(users):
    model, items = network(layers=1), events(users, 7)
    streamer = Streamer(model, keep=3, compiled=True)
    windows = [each.tolist() for each in items[:, :2]]
    stream, _ = streamer.start(windows)
    for step in range(2, 7):
        scores = streamer.update(stream, items[:, step])
        for user in range(users):
            window = items[user, : step + 1].tolist()
            torch.testing.assert_close(scores[user], of_window(model, window), rtol=1e-10, atol=1e-12)


def test_a_missing_compiler_is_named(monkeypatch):
    def missing(program):
        raise InvalidCxxCompiler

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", missing)
    streamer = Streamer(network(layers=1), compiled=True)
    stream, _ = streamer.start([[1, 2]])
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler.*install g\+\+"):
        streamer.update(stream, torch.tensor([3]))
    assert (stream.seen.tolist(), stream.recent.tolist()) == ([2], [[0, 0, 1, 2]])  # the event is not in the state


@pytest.mark.parametrize("attention", ["linrec", "softmax", "hstu"])
def test_all_full_at_once_and_a_window_of_one(attention):
    model = network(length=1, layers=1, attention=attention)
    streamer = Streamer(model)
    stream, scores = streamer.start([[3], [4]])
    torch.testing.assert_close(scores[0], of_window(model, [3]))
    scores = streamer.update(stream, torch.tensor([7, 9]))
    torch.testing.assert_close(scores[1], of_window(model, [9]))
    assert stream.seen.tolist() == [1, 1]


def test_long_histories_begin_with_the_last_n():
    model = network()
    items = events(1, 20)[0].tolist()
    _, scores = Streamer(model).start([items])
    torch.testing.assert_close(scores[0], of_window(model, items[-LENGTH:]))


@pytest.mark.parametrize("mixing", ["block", "mask"])
@pytest.mark.parametrize(
    ("choices", "kind"), [(None, ""), (("linrec", "softmax"), "linrec"), (("linrec", "hstu"), "hstu")]
)
def test_found_networks(mixing, choices, kind):
    config = ModelConfig(**(SMALL | {"mixing": mixing, "attention_choices": choices}))
    torch.manual_seed(0)
    model = supernet(config, ITEMS, True).double().eval()
    space = space_for(config)
    given = {"candidate": 1, "depth": 2} | ({} if choices is None else {"attention": kind})
    found = extract(model, space(**given), torch.tensor([[1, 2, 3]]))
    streamer = Streamer(found)
    stream, _ = streamer.start([[1, 2]])
    scores = streamer.update(stream, torch.tensor([3]))
    torch.testing.assert_close(scores[0], of_window(found, [1, 2, 3]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("attention", ["linrec", "softmax", "hstu"])
@pytest.mark.parametrize("backbone", ["sasrecf", "fdsa"])
@pytest.mark.parametrize("compiled", [False, True])
def test_backbones_with_features(backbone, attention, compiled, exported):
    model = network(features=FEATURES, backbone=backbone, attention=attention)
    streamer = Streamer(model, compiled=compiled)
    stream, _ = streamer.start([[1, 2], [5, 6]])
    scores = streamer.update(stream, torch.tensor([3, 9]))
    torch.testing.assert_close(scores[1], of_window(model, [5, 6, 9]), rtol=1e-10, atol=1e-12)


def test_the_state_does_not_grow():
    streamer = Streamer(network().float())
    stream, _ = streamer.start([[1]])
    first = stream.bytes_per_user
    for item in range(2, 20):
        streamer.update(stream, torch.tensor([item]))
    assert stream.bytes_per_user == first
    per_layer = 2 * (8 * 8 + 8) * 4  # heads of K^T V and of the squares, float32
    assert first == 3 * per_layer + 16 * 4 + 8 + 4 * 4


@pytest.mark.parametrize("attention", ["softmax", "hstu"])
def test_a_cache_has_the_size_of_the_window(attention):
    streamer = Streamer(network(attention=attention).float())
    stream, _ = streamer.start([[1]])
    first = stream.bytes_per_user
    for item in range(2, 20):
        streamer.update(stream, torch.tensor([item]))
    per_layer = LENGTH * (2 * 16 * 4 + 8 + 1) + 8  # keys and values in float32, times and seen; the next position
    assert stream.bytes_per_user == first == 3 * per_layer + 16 * 4 + 8 + 4 * 4


def test_what_cannot_be_streamed_is_said():
    for attention in ("softmax", "hstu", "linrec"):
        with pytest.raises(ConfigError, match="streaming needs a causal network, and this one is bidirectional"):
            Streamer(network(causal=False, attention=attention))
    with pytest.raises(ConfigError, match=r"streaming cannot continue a network with model.time_bias=target"):
        Streamer(network(attention="softmax", time_bias="target"))
    timed, plain = Streamer(network(attention="softmax", time_bias="own")), Streamer(network())
    for wrong in (None, [[1, 2]]):
        with pytest.raises(DataError, match=r"the network uses the times of events|as many as events"):
            timed.start([[1]], wrong)
    with pytest.raises(DataError, match="times are given, but the network uses none"):
        plain.start([[1]], [[1]])
    with pytest.raises(DataError, match="the network uses the times of events"):
        timed.update(timed.start([[1]], [[1]])[0], torch.tensor([2]))
    with pytest.raises(ConfigError, match="keep=8"):
        Streamer(network(), 8)
    with pytest.raises(DataError, match="at least one event"):
        Streamer(network()).start([[1], []])


@pytest.fixture
def folder(tmp_path):
    """A finished run: its data, and a network that nobody trained."""
    planted(users=20, items=48, categories=4, length=12).write(tmp_path / "planted.tsv")
    data = prepare(read_interactions(tmp_path / "planted.tsv"))
    untrained_run(tmp_path, data, SMALL)
    return tmp_path


def stream(folder, lines, *options):
    return CliRunner().invoke(commands, ["recommend", "--out", str(folder), "--stream", *options], input=lines)


def test_the_command_answers_every_event(folder):
    data, recommender = Interactions.load(folder / "data.npz"), Recommender.load(folder / "model")
    known = data.items[data.offsets[3] : data.offsets[4]].tolist()
    name, items = data.user_ids[3], data.item_ids
    lines = f"{name}\t{items[5]}\nsomebody new\t{items[7]}\n{name}\t{items[9]}\n"
    answered = stream(folder, lines, "--top", "4")
    assert answered.exit_code == 0, answered.output
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [answer["for"] for answer in answers] == [name, "somebody new", name]
    assert [answer["fallback"] for answer in answers] == [False] * 3  # each has an item
    # the window is full, so that the second event starts it again from the last half
    wanted = [[*known, 5][-LENGTH:], [7], [*known, 5, 9][-LENGTH // 2 :]]
    left_out = [[*known, 5], [7], [*known, 5, 9]]
    for answer, history, seen in zip(answers, wanted, left_out, strict=True):
        scores = recommender.network.next_item(torch.tensor([history]), torch.tensor([len(history)]))[0]
        best = recommender.best(scores.detach(), 4, seen)
        assert answer["items"] == [item for item, _ in best]
        assert answer["scores"] == pytest.approx([score for _, score in best], abs=1e-4)


def test_events_of_a_network_with_times_come_with_theirs(tmp_path):
    planted(users=20, items=48, categories=4, length=12).write(tmp_path / "planted.tsv")
    data = prepare(read_interactions(tmp_path / "planted.tsv"))
    untrained_run(tmp_path, data, SMALL | {"attention": "hstu", "time_bias": "own", "length": 40})
    recommender, name, ids = Recommender.load(tmp_path), data.user_ids[3], data.item_ids
    a, b = data.offsets[3:5]
    rows = [(name, ids[5], "5000"), (name, ids[9]), (name, ids[9], "1970-01-02"), (name, ids[9], "soon")]
    lines = "\n".join("\t".join(row) for row in [*rows, ("new", ids[1], "3")])
    answered = stream(tmp_path, lines, "--top", "4")
    first, missing, last, soon, new = map(json.loads, answered.stdout.splitlines())
    assert "is not a user, an item and a time, with tabs between them" in missing["error"]
    assert "the time 'soon' is no time: give seconds since 1970" in soon["error"]
    history = [data.item_ids[i] for i in data.items[a:b]]
    for answer, more, times in ((first, [5], [5000]), (last, [5, 9], [5000, 86_400])):
        when = [*data.times[a:b].tolist(), *times]
        expected = recommender.recommend([[*history, *(ids[i] for i in more)]], 4, times=[when])[0]
        assert answer["items"] == [item for item, _ in expected]
        assert answer["scores"] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert new["items"] == [item for item, _ in recommender.recommend([[ids[1]]], 4, times=[[3]])[0]]
    live = Live(recommender, lambda user: [], times=lambda user: [])
    live.event("new", ids[1], 4, time=3)
    for user in ("new", "other"):
        with pytest.raises(DataError, match="the time 1700000000000 is not in seconds"):
            live.event(user, ids[1], 4, time=1_700_000_000_000)
    with pytest.raises(ConfigError, match="give times of histories"):
        Live(recommender, lambda user: [])


WRONG = {
    "no tab here": "is not a user, a tab and an item",
    "u\tnothing": "unknown item 'nothing'",
    "\t": "is not a user",
    "u\ti\tmore": "is not a user",
    "": "is not a user",
    "x" * 30_000: "longer than 10,000 characters",
    "u\t\x1b[31mred": "unknown item",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_line_gets_an_error_object_and_the_stream_goes_on(folder, wrong):
    ids = Interactions.load(folder / "data.npz").item_ids
    plain = stream(folder, f"u\t{ids[1]}\nu\t{ids[2]}\n")
    answered = stream(folder, f"u\t{ids[1]}\n{wrong}\nu\t{ids[2]}\n")
    assert answered.exit_code == 0, answered.output
    first, error, last = map(json.loads, answered.stdout.splitlines())
    assert [first, last] == [json.loads(line) for line in plain.stdout.splitlines()]
    assert error["line"] == 2 and WRONG[wrong] in error["error"] and len(error["error"]) <= 300
    assert error["error"].isprintable() and "1 lines" in answered.stderr


def test_bytes_that_are_not_utf8_spoil_their_line_only(folder):
    ids = Interactions.load(folder / "data.npz").item_ids
    lines = f"u\t{ids[1]}\n".encode() + b"\xff\xfe\t\x80\n" + f"u\t{ids[2]}\n".encode()
    found = [json.loads(line) for line in stream(folder, lines).stdout.splitlines()]
    assert ["error" in each for each in found] == [False, True, False] and "not UTF-8" in found[1]["error"]


def test_states_beyond_the_most_users_are_dropped_least_recent_first(folder):
    recommender = Recommender.load(folder / "model")
    ids, started = recommender.item_ids, []

    def history(user):
        started.append(user)
        return ids[4:6]

    live = Live(recommender, history, most_users=2)
    for user in ("a", "b", "a", "c"):  # c drops b, as a was active since
        live.event(user, ids[1], 3)
    assert live.users == 2 and started == ["a", "b", "c"]
    live.event("a", ids[2], 3)
    assert started == ["a", "b", "c"]
    again = live.event("b", ids[3], 3)  # from its history, without the event before
    assert started == ["a", "b", "c", "b"] and live.users == 2
    expected = recommender.recommend([[*ids[4:6], ids[3]]], 3)[0]
    assert [item for item, _ in again] == [item for item, _ in expected]
    with pytest.raises(ConfigError, match="most_users=0"):
        Live(recommender, history, most_users=0)


def test_streams_and_users_do_not_mix(folder):
    assert "leave out --user" in str(stream(folder, "", "--user", "x").exception)


def test_a_byte_order_mark_belongs_to_no_user(folder):
    data = Interactions.load(folder / "data.npz")
    line = f"{data.user_ids[3]}\t{data.item_ids[5]}\n"
    assert stream(folder, f"\ufeff{line}".encode()).stdout == stream(folder, line.encode()).stdout


def timed_network():
    model = network(attention="softmax", time_bias="own")
    for name, parameter in model.named_parameters():
        if "relative" in name:
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize(
    ("items", "times", "message"),
    [
        ([3, 4], [1.5, 2.0], r"times are an int64 tensor with one entry for each of 2 users \(got torch.float32 \(2"),
        ([3, 4], [True, False], r"times are .*got torch.bool"),
        ([3, 4], [20], r"times are .*got torch.int64 \(1,\)"),
        ([3, 4], [[20, 21]], r"times are .*got torch.int64 \(1, 2\)"),
        ([3, 4], [20, 1_700_000_000_000_000], r"the time 1700000000000000 is not in seconds since 1970"),
        ([3, 4], [20, -(2**63)], r"the time -9223372036854775808 is not in seconds since 1970"),
        ([3, 4], None, "the network uses the times of events"),
        ([3], [20, 21], r"items are an int64 tensor with one entry for each of 2 users \(got torch.int64 \(1,\)\)"),
        ([3.0, 4.0], [20, 21], r"items are .*got torch.float32"),
        ([3, 0], [20, 21], r"items are whole numbers from 1 to 30 \(got \[3, 0\]\)"),
        ([3, 31], [20, 21], r"items are whole numbers from 1 to 30 \(got \[3, 31\]\)"),
    ],
)
def test_wrong_events_are_refused_and_leave_the_state(items, times, message):
    model = timed_network()
    streamer = Streamer(model)
    stream, _ = streamer.start([[1, 2], [5]], [[10, 11], [12]])
    with pytest.raises(DataError, match=message):
        streamer.update(stream, torch.tensor(items), None if times is None else torch.tensor(times))
    scores = streamer.update(stream, torch.tensor([3, 4]), torch.tensor([20, 21]))
    when = torch.tensor([[12, 21]])
    expected = model.next_item(torch.tensor([[5, 4]]), torch.tensor([2]), when, when)[0]
    torch.testing.assert_close(scores[1], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("history", [[0], [31], [1.5], [True], [-1]])
def test_items_of_histories_are_numbers_of_the_catalogue(history):
    with pytest.raises(DataError, match="items are whole numbers from 1 to 30"):
        Streamer(network()).start([[1, 2], history])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_earlier_events_that_come_later_count_by_their_distance(dtype):
    """Data that is split into given parts may have them."""
    model = timed_network()
    streamer = Streamer(model, keep=3)
    times = [2_000_000_000, 1_000_000_000, -2_000_000_000, 5, 1_999_999_999, *range(5)]
    items = events(1, len(times))[0].tolist()
    stream, _ = streamer.start([items[:1]], [times[:1]])
    first = 0
    for at in range(1, len(times)):
        scores = streamer.update(stream, torch.tensor([items[at]]), torch.tensor([times[at]], dtype=dtype))
        if at + 1 - first > LENGTH:
            first = at + 1 - 3
        when = torch.tensor([times[first : at + 1]])
        whole = model.next_item(torch.tensor([items[first : at + 1]]), torch.tensor([at + 1 - first]), when, when)
        torch.testing.assert_close(scores, whole, rtol=1e-10, atol=1e-12)
