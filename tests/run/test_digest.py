"""A digest changes with a batch, and with nothing else."""

import dataclasses
import enum
import random
from collections import OrderedDict, UserDict, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from elasticnas.run.digest import digest, sample


@dataclasses.dataclass
class Batch:
    x: object
    y: object = None


@dataclasses.dataclass(slots=True)
class Slotted:
    x: object


class Encoding(UserDict):
    """As tokenizers give it."""

    def __getattr__(self, item):
        try:
            return self.data[item]
        except KeyError:
            raise AttributeError(item) from None


Pair = namedtuple("Pair", ("x", "y"))
Colour = enum.Enum("Colour", ("RED", "BLUE"))


def of(batch):
    return digest(sample(batch))


def wide():
    return torch.arange(5000)


def objects(*items):
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


WRAPPERS = {
    "itself": lambda x: x,
    "tuple": lambda x: (x, 3),
    "list": lambda x: ["text", x],
    "dict": lambda x: {"x": x, "y": None},
    "encoding": lambda x: Encoding({"x": x}),
    "ordered": lambda x: OrderedDict(x=x),
    "named": lambda x: Pair(1, x),
    "dataclass": lambda x: Batch({"deep": [x]}),
    "slots": Slotted,
    "object": lambda x: SimpleNamespace(x=x, name="n"),
    "array of objects": lambda x: objects(x, None),
}
CHANGES = {
    "element": (lambda: torch.tensor([1.0, 2.0]), lambda: torch.tensor([1.0, 3.0])),
    "order": (lambda: torch.tensor([1, 2]), lambda: torch.tensor([2, 1])),
    "dtype": (lambda: torch.zeros(2), lambda: torch.zeros(2, dtype=torch.int32)),
    "shape": (lambda: torch.zeros(2, 3), lambda: torch.zeros(3, 2)),
    "sign of zero": (lambda: torch.tensor(0.0), lambda: torch.tensor(-0.0)),
    "conjugate": (lambda: torch.tensor([1 + 2j]), lambda: torch.tensor([1 + 2j]).conj()),
    "negative": (lambda: torch.tensor([1 + 2j]).imag, lambda: torch.tensor([1 + 2j]).conj().imag),
    "array": (lambda: np.arange(3), lambda: np.arange(3) + 1),
    "type of array": (lambda: np.zeros(2, "f4"), lambda: np.zeros(2, "i4")),
    "array or tensor": (lambda: np.arange(3), lambda: torch.arange(3)),
    "text": (lambda: "one", lambda: "two"),
    "bytes": (lambda: b"1", lambda: "1"),
    "bool": (lambda: True, lambda: 1),
    "int": (lambda: 1, lambda: 2),
    "float": (lambda: 1.0, lambda: 1.5),
    "none": (lambda: None, lambda: "None"),
    "number of numpy": (lambda: np.float32(1), lambda: np.float32(2)),
    "member": (lambda: Colour.RED, lambda: Colour.BLUE),
    "nesting": (lambda: [[1], 2], lambda: [[1, 2]]),
    "keys": (lambda: {"a": 1}, lambda: {"b": 1}),
    "list or tuple": (lambda: [1, 2], lambda: (1, 2)),
    "class": (lambda: Batch(1), lambda: Slotted(1)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen_in_every_wrapper(wrapper, change):
    one, other = CHANGES[change]
    wrap = WRAPPERS[wrapper]
    assert of(wrap(one())) == of(wrap(one()))
    assert of(wrap(one())) != of(wrap(other()))


def sparse():
    return torch.eye(3).to_sparse()


def nested():
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.tensor([1.5, float("nan")]),
        lambda: float("nan"),
        lambda: torch.ones(3, dtype=torch.bfloat16),
        lambda: torch.ones(3, dtype=torch.float8_e4m3fn),
        lambda: torch.ones(2000, 3).to(torch.float8_e4m3fn).t(),
        lambda: torch.tensor([True, False]),
        lambda: torch.tensor([1 + 2j]).conj(),
        lambda: torch.ones(4000, dtype=torch.complex64).conj(),
        lambda: torch.empty(0, 3),
        lambda: torch.empty(0, 3).t(),
        lambda: torch.ones(1, 2)[:, 0],
        lambda: torch.ones(3, 2)[:, 1],
        lambda: torch.ones(4, 3).t(),
        lambda: torch.tensor(3),
        lambda: wide().view(50, 100).t(),
        lambda: torch.ones(1).expand(9000),
        lambda: torch.ones(40, 40, requires_grad=True).t(),
        lambda: torch.ones(2, 3, 40, 40).to(memory_format=torch.channels_last),
        lambda: torch.empty(3, device="meta"),
        sparse,
        nested,
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: pack_sequence([torch.ones(3), torch.ones(2)]),
        lambda: np.array(["a", "bc"]),
        lambda: np.array(3.0),
        lambda: np.zeros((0, 2)),
        lambda: np.zeros(2, [("a", "i4"), ("b", "f8")]),
        lambda: np.arange(9000).reshape(90, 100).T,
        lambda: "\ud800",
        lambda: {"a", "b"},
        lambda: random,
        lambda: sparse,
        lambda: torch.nn.Linear(2, 2),
        object,
    ],
)
def test_every_kind_has_a_digest_that_repeats(make):
    assert of([make(), 1]) == of([make(), 1]) != of([make(), 2])


def test_later_changes_in_place_are_not_seen():
    batches = {"x": torch.zeros(2), "y": np.zeros(2), "wide": wide(), "turned": wide().view(2, -1).t(), "l": [1]}
    before, taken = of(batches), sample(batches)
    for key in ("x", "y", "wide", "turned"):
        batches[key] += 1
    batches["l"].append(3)
    assert digest(taken) == before != of(batches)


@pytest.mark.parametrize("turn", [lambda x: x, torch.t, lambda x: x[:, 1:], lambda x: x.t()[::2]])
def test_at_most_1024_evenly_spread_elements_are_taken(turn):
    tensor = turn(torch.arange(90 * 100).view(90, 100))
    elements = sample(tensor)[-1].tolist()
    whole = [value for row in tensor.tolist() for value in row]
    step = next(step for step in range(1, 100) if len(whole[::step]) <= 1024)
    assert elements == whole[::step]
    assert sample(tensor.numpy())[-1].tolist() == whole[::step]


def test_what_refers_to_itself_or_to_everything_ends():
    around = SimpleNamespace(x=1)
    around.again = around
    assert of(around) == of(around)
    assert len(sample([[1] * 1024] * 1024)) <= 5000


def test_a_digest_is_the_same_in_every_process():
    """By hand: SHA-256 of the kind, the number of parts, and for each part its kind and its value."""
    import hashlib

    written = b"'builtins.list'\x001\x00" + b"'builtins.int'\x007\x00"
    assert of([7]) == hashlib.sha256(written).hexdigest()
