"""Checkpoints: differences between runs in words, those that are allowed, and files of an earlier version."""

import io
from hashlib import sha256

import numpy as np
import pytest
import torch

from elasticnas.checkpoint import first_difference, load_checkpoint, save_checkpoint, to_builtins
from elasticnas.errors import CheckpointError


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c was 2, is 3"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}, "a.c is new"),
        ({"a": 1, "b": None}, {"a": 1}, "b is gone"),
        ([1], [2], " was [1], is [2]"),
    ],
)
def test_the_first_difference_is_named(before, now, said):
    assert first_difference(before, now) == said


WRITTEN = {"work": {"settings": {"steps": 1, "rate": 2}, "steps": 5}}


@pytest.mark.parametrize(
    ("allow", "now", "changes"),
    [
        (
            {"steps"},
            {"settings": {"steps": 3, "rate": 2}, "steps": 6},
            ["settings.steps was 1, is 3", "steps was 5, is 6"],
        ),
        ({"settings.steps"}, {"settings": {"steps": 3, "rate": 2}, "steps": 5}, ["settings.steps was 1, is 3"]),
        ({"settings"}, {"settings": {"steps": 1}, "steps": 5}, ["settings.rate is gone"]),
        ({"settings.steps"}, {"settings": {"steps": 1, "rate": 2}, "steps": 6}, None),
        ({"rates", "set"}, {"settings": {"steps": 1, "rate": 3}, "steps": 5}, None),
        ({"weight"}, {**WRITTEN["work"], "model": {"head.weight": [5, 4]}}, None),
        ({"settings"}, {"settings": {"steps": 1, "rate": 2, "kind": "SGD"}, "steps": 5}, None),
    ],
)
def test_a_name_allows_itself_its_first_or_its_last_part(allow, now, changes, tmp_path):
    save_checkpoint(tmp_path / "c", {"x": 1}, WRITTEN)
    if changes is None:
        with pytest.raises(CheckpointError, match="belongs to another run, "):
            load_checkpoint(tmp_path / "c", {"work": now}, allow)
    else:
        assert load_checkpoint(tmp_path / "c", {"work": now}, allow) == ({"x": 1}, changes)


@pytest.mark.parametrize(("state", "identity"), [(None, {"work": {}}), ({}, None), (3, {"work": {}})])
def test_a_checkpoint_without_a_state_is_damaged(state, identity, tmp_path):
    save_checkpoint(tmp_path / "c", state, identity)
    with pytest.raises(CheckpointError, match=r"c: damaged \(.*\); delete it to start again$"):
        load_checkpoint(tmp_path / "c", {"work": {}})


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_line(tmp_path):
    buffer = io.BytesIO()
    torch.save({"format": 1, "state": {}, "identity": {"settings": 1}, "covered": {}}, buffer)
    (tmp_path / "c").write_bytes(sha256(buffer.getvalue()).digest() + buffer.getvalue())
    told = r"c: written in format 1, this version reads 2; finish it with the version that wrote it, or delete it"
    with pytest.raises(CheckpointError, match=told) as raised:
        load_checkpoint(tmp_path / "c", {})
    assert "\n" not in str(raised.value)


def test_plain_data_tells_mappings_apart_and_has_no_numbers_of_numpy():
    assert to_builtins({"a": np.float64(0.5), "b": (np.int64(2), {"c": np.float32(0.25)})}) == {
        "a": 0.5,
        "b": [2, {"c": 0.25}],
    }
    assert type(to_builtins(np.float64(0.5))) is float
