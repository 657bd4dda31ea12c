"""Training samples: every next item once, padded right, batches of like lengths."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import Sequences, count_batches, training_batches
from easrec.data.windows import causal_windows, make_batches, pad, prefix_samples


def made_of(lengths):
    """Sequences whose items are all different, so that positions can be told by their item."""
    stops = np.cumsum(lengths).astype(np.int64)
    starts = stops - np.asarray(lengths, dtype=np.int64)
    return Sequences(np.arange(1, stops[-1] + 1 if len(stops) else 1, dtype=np.int32), starts, stops)


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=20)


def next_items(sequences):
    """Every pair of an item and the one after it."""
    return {
        (int(a), int(b)) for s in range(len(sequences)) for a, b in zip(sequences[s], sequences[s][1:], strict=False)
    }


@settings(deadline=None)
@given(lengths=lengths, window=st.integers(1, 15), seed=st.integers(0, 9))
def test_every_next_item_is_a_target_exactly_once(lengths, window, seed):
    sequences = made_of(lengths)
    starts, stops = causal_windows(sequences, window, np.random.default_rng(seed))
    assert (stops > starts).all() and (stops - starts <= window).all()
    pairs = [
        (int(sequences.items[p]), int(sequences.items[p + 1]))
        for a, b in zip(starts, stops, strict=True)
        for p in range(a, b)
    ]
    assert len(pairs) == len(set(pairs)) and set(pairs) == next_items(sequences)


@settings(deadline=None)
@given(lengths=lengths, window=st.integers(1, 15))
def test_every_prefix_is_a_sample(lengths, window):
    sequences = made_of(lengths)
    starts, stops = prefix_samples(sequences, window)
    assert len(starts) == sum(length - 1 for length in lengths)
    for a, b in zip(starts, stops, strict=True):
        user = np.searchsorted(sequences.stops, b, side="right")
        assert a == max(sequences.starts[user], b - window)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), max_size=60),
    per_batch=st.integers(1, 40),
    unit=st.sampled_from(["users", "targets"]),
    seed=st.integers(0, 9),
)
def test_batches_hold_every_sample_once_and_no_more_than_asked(lengths, per_batch, unit, seed):
    lengths = np.array(lengths, dtype=np.int64)
    batches = make_batches(lengths, per_batch, unit, np.random.default_rng(seed))
    assert sorted(np.concatenate([*batches, np.zeros(0, dtype=np.int64)]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        size = len(batch) if unit == "users" else lengths[batch].sum()
        # a batch of targets is closed by the sample that fills it
        assert len(batch) >= 1 and size <= per_batch + (0 if unit == "users" else lengths[batch].max())


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 200, size=2000)
    batches = make_batches(lengths, 32, "users", np.random.default_rng(0))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.15 * lengths.sum() < 0.7 * sum(len(batch) for batch in batches) * lengths.max()


@pytest.mark.parametrize("form", ["causal", "prefixes"])
@settings(deadline=None, max_examples=40)
@given(lengths=lengths, window=st.integers(1, 15), seed=st.integers(0, 9))
def test_batches_pair_inputs_with_the_next_item(form, lengths, window, seed):
    sequences = made_of(lengths)
    pairs = []
    count = 0
    for batch in training_batches(sequences, window, 3, "users", form, seed, epoch=1):
        count += 1
        assert batch.inputs.dtype == torch.int64 and batch.inputs.shape[1] <= window
        real = batch.inputs > 0
        # right padded, at least one item
        assert real[:, 0].all() and (real.long().diff(dim=1) <= 0).all()
        if form == "causal":
            assert (batch.targets > 0).equal(real)
            pairs += list(zip(batch.inputs[real].tolist(), batch.targets[real].tolist(), strict=True))
        else:
            last = batch.inputs.gather(1, real.sum(1, keepdim=True) - 1).squeeze(1)
            pairs += list(zip(last.tolist(), batch.targets.tolist(), strict=True))
    assert sorted(pairs) == sorted(next_items(sequences))
    if form == "prefixes":
        assert count == count_batches(sequences, window, 3, "users", form, seed)


def test_an_epoch_is_seeded_and_epochs_differ():
    sequences = made_of([30] * 20)

    def flat(seed, epoch):
        return [b.inputs.tolist() for b in training_batches(sequences, 10, 4, "users", "causal", seed, epoch)]

    assert flat(0, 1) == flat(0, 1) and flat(0, 1) != flat(0, 2) and flat(0, 1) != flat(1, 1)


def test_padding_is_on_the_right_and_no_sample_is_no_row():
    items = np.array([5, 6, 7], dtype=np.int32)
    assert pad(items, np.array([0, 2]), np.array([2, 3])).tolist() == [[5, 6], [7, 0]]
    assert pad(items, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).shape == (0, 1)
    assert pad(items[:0], np.array([0]), np.array([0])).tolist() == [[0]]
