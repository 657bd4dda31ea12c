"""What is no source of batches is told in one line."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from elasticnas.errors import SearchError
from elasticnas.run import BatchStream, one_epoch

AGAIN = ": give list(batches), or lambda epoch: ... that makes new ones"


class MapStyle(Dataset):
    def __getitem__(self, index):
        return index


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            iter([1]),
            "list_iterator, which can be read only once" + AGAIN,
        ),
        (
            (i for i in range(3)),
            "generator, which can be read only once" + AGAIN,
        ),
        (
            zip([1], [2], strict=True),
            "zip, which can be read only once" + AGAIN,
        ),
        ("text", "str"),
        (b"bytes", "bytes"),
        ({"x": 1}, "dict"),
        ({1}, "set"),
        (torch.zeros(3, 2), "Tensor: give its batches, such as list(tensor.split(32))"),
        (np.zeros(3), "ndarray"),
        (MapStyle(), "MapStyle"),
        (TensorDataset(torch.arange(3)), "TensorDataset: give DataLoader(dataset, batch_size=32)"),
        (None, "None"),
        (3, "int"),
        (lambda: [1], "function that does not take the number: write lambda epoch: ..."),
    ],
)
def test_what_is_no_source_is_told(source, told):
    for call in (BatchStream, one_epoch):
        with pytest.raises(SearchError) as error:
            call(source, "held_out", 7)
        forms = "a DataLoader, a list of batches, or a function from the number of an epoch to its batches"
        assert str(error.value) == f"held_out: give {forms}; received {told}"


@pytest.mark.parametrize("given", [None, "text", {"x": 1}, torch.zeros(2), 3])
def test_a_function_that_gives_no_batches_is_told(given):
    with pytest.raises(
        SearchError, match=r"train: the function returned (dict|int|str|None|Tensor) for epoch 0; return an iterable"
    ):
        BatchStream(lambda epoch: given, "train", 7).next()


@pytest.mark.parametrize("source", [[], (), lambda epoch: [], DataLoader([], 2), DataLoader([1], 2, drop_last=True)])
def test_an_epoch_without_a_batch_is_told(source):
    with pytest.raises(SearchError, match=r"^train: epoch 0 has no batch$"):
        BatchStream(source, "train", 7).next()
    with pytest.raises(SearchError, match=r"^held_out: epoch 3 has no batch$"):
        next(one_epoch(source, "held_out", 7, epoch=3))


def test_the_same_exhausted_iterator_is_told():
    once = iter([1, 2])
    stream = BatchStream(lambda epoch: once, "train", 7)
    assert [stream.next(), stream.next()] == [1, 2]
    with pytest.raises(SearchError, match=r"^train: epoch 1 has no batch; make new batches for each epoch"):
        stream.next()


def test_a_function_may_give_batches_stacked_in_one_tensor():
    rows = torch.arange(6.0).view(3, 2)
    for stacked in (rows, rows.numpy()):
        stream = BatchStream(lambda epoch, stacked=stacked: stacked, "train", 7)
        assert [[float(x) for x in stream.next()] for _ in range(4)] == [[0, 1], [2, 3], [4, 5], [0, 1]]
