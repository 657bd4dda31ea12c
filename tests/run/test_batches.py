"""Batches are those of their seed, whoever else draws, and are taken up where they stopped."""

import hashlib
import json
import random
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from elasticnas.errors import CheckpointError
from elasticnas.run import BatchStream, one_epoch

N = 10
DATA = TensorDataset(torch.arange(N))


class Augmented(Dataset):
    """The three generators that transforms draw from."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return torch.tensor([index, torch.rand(()).item(), np.random.normal(), random.random()], dtype=torch.float64)


class Streamed(IterableDataset):
    def __iter__(self):
        yield from (torch.rand(2) for _ in range(4))


class Reader:
    """A loader of one's own, read from the start each time."""

    def __iter__(self):
        yield from (torch.randperm(5) for _ in range(3))


def shuffled():
    return DataLoader(DATA, 3, shuffle=True)


def with_generator():
    return DataLoader(DATA, 3, shuffle=True, generator=torch.Generator().manual_seed(5))


def weighted():
    weights = torch.arange(1.0, N + 1)
    sampler = WeightedRandomSampler(weights, 9, generator=torch.Generator().manual_seed(5))
    return DataLoader(DATA, 2, sampler=sampler)


def with_replacement():
    return DataLoader(list(range(N)), 3, sampler=RandomSampler(list(range(N)), True, 80, torch.Generator()))


def batch_sampled():
    sampler = RandomSampler(DATA, generator=torch.Generator().manual_seed(1))
    return DataLoader(DATA, batch_sampler=BatchSampler(sampler, 4, True))


def distributed():
    return DataLoader(DATA, 2, sampler=DistributedSampler(DATA, num_replicas=2, rank=1))


def augmented(workers=0, **options):
    return DataLoader(Augmented(), 3, shuffle=True, num_workers=workers, **options)


def draws(epoch):
    for _ in range(5):
        yield torch.rand(2) + np.random.rand() + random.random()


def of_the_epoch(epoch):
    generator = torch.Generator().manual_seed(epoch)
    return [torch.rand(3, generator=generator) for _ in range(4)]


def returned_loader():
    loader = shuffled()
    return lambda epoch: loader


SOURCES = {
    "shuffled": shuffled,
    "with_generator": with_generator,
    "weighted": weighted,
    "with_replacement": with_replacement,
    "batch_sampled": batch_sampled,
    "distributed": distributed,
    "augmented": augmented,
    "generator": lambda: draws,
    "list of the epoch": lambda: of_the_epoch,
    "returned loader": returned_loader,
    "iterable data set": Streamed,
    "reader": Reader,
    "single rows": lambda: DataLoader(Augmented(), batch_size=None, shuffle=True),
}
WORKERS = {
    "workers": lambda: augmented(2),
    "own generator": lambda: augmented(2, generator=torch.Generator()),
}


def plain(value):
    """A batch as lists, to compare."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def taken(stream, count):
    return [plain(stream.next()) for _ in range(count)]


def epoch_length(source):
    return sum(1 for _ in one_epoch(source, "train", 0))


def disturb(amount):
    torch.rand(amount), np.random.normal(size=amount), [random.random() for _ in range(amount)]


def saved(stream):
    return json.loads(json.dumps(stream.state_dict()))  # plain data


@pytest.mark.parametrize("name", SOURCES)
def test_taken_up_anywhere_it_is_the_uninterrupted_one(name):
    make = SOURCES[name]
    count = 2 * epoch_length(make())
    whole = taken(BatchStream(make(), "train", 7), count + 2)
    assert len({str(batch) for batch in whole}) > count / 3  # something is drawn
    for stop in range(count + 1):
        disturb(3)
        first = BatchStream(make(), "train", 7)
        taken(first, stop)
        second = BatchStream(make(), "train", 7)
        second.load_state_dict(saved(first))
        assert saved(second) == saved(first)
        assert taken(second, count + 2 - stop) == whole[stop:]


@pytest.mark.parametrize("name", WORKERS)
def test_workers_draw_the_same_again(name):
    whole = taken(BatchStream(WORKERS[name](), "train", 7), 9)
    assert whole[:4] != whole[4:8]
    first, second = (BatchStream(WORKERS[name](), "train", 7) for _ in range(2))
    taken(first, 6)
    disturb(2)
    second.load_state_dict(saved(first))
    assert taken(second, 3) == whole[6:]


@pytest.mark.parametrize("name", SOURCES)
def test_epochs_seeds_and_names_differ(name):
    make = SOURCES[name]
    length = epoch_length(make())
    stream = BatchStream(make(), "train", 7)
    first, second = taken(stream, length), taken(stream, length)
    assert first != second
    if name not in ("distributed", "list of the epoch"):  # they have seeds of their own
        assert first != taken(BatchStream(make(), "train", 8), length)
        assert first != taken(BatchStream(make(), "held_out", 7), length)
    assert first == [plain(batch) for batch in one_epoch(make(), "train", 7)]
    assert second == [plain(batch) for batch in one_epoch(make(), "train", 7, epoch=1)]


def caller_draws():
    return torch.rand(2).tolist(), np.random.normal(), random.gauss(0, 1), np.random.randint(1000)


def seeded():
    torch.manual_seed(3), np.random.seed(3), random.seed(3)


@pytest.mark.parametrize("name", SOURCES)
def test_neither_side_sees_what_the_other_draws(name):
    make = SOURCES[name]
    alone = taken(BatchStream(make(), "train", 7), 9)
    seeded()
    untouched = [caller_draws() for _ in range(9)]  # an odd number of normal draws stands between batches
    seeded()
    stream = BatchStream(make(), "train", 7)
    both = [(plain(stream.next()), caller_draws()) for _ in range(9)]
    assert [batch for batch, _ in both] == alone
    assert [draw for _, draw in both] == untouched


def test_an_epoch_goes_on_drawing_from_the_seed_of_its_key():
    """By hand: the three generators are seeded once an epoch, and nothing else draws from them."""
    for epoch in (0, 1):
        key = hashlib.sha256(f"('train', 7, {epoch})".encode()).digest()
        seed = int.from_bytes(key[:8], "big") // 2
        torch.manual_seed(seed), random.seed(seed)
        reference = np.random.RandomState(np.random.MT19937(seed))
        whole = [plain(torch.rand(2) + reference.rand() + random.random()) for _ in range(5)]
        assert whole == [plain(batch) for batch in one_epoch(draws, "train", 7, epoch)]


def test_another_bit_generator_of_numpy_is_kept():
    from numpy.random.mtrand import get_bit_generator, set_bit_generator

    before = get_bit_generator()
    try:
        own = np.random.PCG64(1)
        set_bit_generator(own)
        np.random.normal()
        second = np.random.RandomState(np.random.PCG64(1)).normal(size=2)[1]
        BatchStream(draws, "train", 7).next()
        assert get_bit_generator() is own and np.random.normal() == second
    finally:
        set_bit_generator(before)


def test_a_loaders_own_generator_is_left_as_it_was():
    generator = torch.Generator().manual_seed(5)
    stream = BatchStream(DataLoader(DATA, 3, shuffle=True, generator=generator), "train", 7)
    taken(stream, 6)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(5).get_state())


def test_two_streams_share_a_generator():
    def loader(generator):
        return DataLoader(DATA, 3, sampler=RandomSampler(DATA, True, 80, generator))

    one = torch.Generator()
    train, held_out = BatchStream(loader(one), "train", 7), BatchStream(loader(one), "held_out", 7)
    both = [(plain(train.next()), plain(held_out.next())) for _ in range(20)]
    assert [batch for batch, _ in both] == taken(BatchStream(loader(torch.Generator()), "train", 7), 20)


def test_a_failing_source_gives_the_generators_back_and_is_asked_again():
    fails = [True]

    def source(epoch):
        yield torch.rand(1)
        disturb(2)
        if fails.pop() if fails else False:
            raise OSError("gone")
        yield torch.rand(1)

    seeded()
    untouched = caller_draws()
    whole = taken(
        BatchStream(
            lambda epoch: (torch.rand(1) if i == 0 else (disturb(2), torch.rand(1))[1] for i in range(2)), "train", 7
        ),
        3,
    )
    seeded()
    stream = BatchStream(source, "train", 7)
    batches = taken(stream, 1)
    with pytest.raises(OSError, match="gone"):
        stream.next()
    assert batches + taken(stream, 2) == whole
    assert caller_draws() == untouched


class Counted(list):
    def __getitem__(self, index):
        asked.append(index)
        return super().__getitem__(index)


asked = []


def test_a_list_gives_its_elements_in_order_and_is_asked_for_no_other():
    batches = [torch.tensor([i]) for i in range(50)]
    assert taken(BatchStream(batches, "train", 7), 101) == [[i] for i in [*range(50), *range(50), 0]]
    first, second = BatchStream(tuple(batches), "train", 7), BatchStream(Counted(batches), "train", 7)
    taken(first, 90)
    asked.clear()
    second.load_state_dict(saved(first))
    assert taken(second, 2) == [[40], [41]]
    assert asked == [39, 40, 41]  # the one to compare, and those handed out


class Lazy(Sequence):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index >= 6:
            raise IndexError
        return torch.rand(2) + np.random.rand()


def test_a_sequence_that_draws_is_taken_up_by_index():
    whole = taken(BatchStream(Lazy(), "train", 7), 12)
    assert len({str(batch) for batch in whole}) == 12
    first, second = BatchStream(Lazy(), "train", 7), BatchStream(Lazy(), "train", 7)
    taken(first, 10)
    second.load_state_dict(saved(first))
    assert taken(second, 2) == whole[10:]


def resumed(before, after, count, allow_changes=False):
    first, second = BatchStream(before, "train", 7), BatchStream(after, "train", 7)
    taken(first, count)
    second.load_state_dict(saved(first), allow_changes=allow_changes)
    return second


def test_persistent_workers_that_cannot_repeat_are_told():
    stream = resumed(augmented(2, persistent_workers=True), augmented(2, persistent_workers=True), 6)
    with pytest.raises(CheckpointError) as error:
        stream.next()
    assert str(error.value) == (
        "train: batch 1 of epoch 1, both counted from 0, is not the one seen before the interruption; batches must "
        'depend on the number of the epoch alone, or continue with other batches by Run(..., allow={"batches"})'
    )


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_persistent_workers_that_draw_nothing_are_taken_up(generator):
    def loader():
        return DataLoader(DATA, 3, shuffle=True, num_workers=2, persistent_workers=True, generator=generator)

    whole = taken(BatchStream(loader(), "train", 7), 10)
    assert whole[:4] != whole[4:8]
    assert taken(resumed(loader(), loader(), 6), 4) == whole[6:]


def test_other_batches_are_an_error_each_time_or_a_warning_once():
    before, after = [torch.zeros(2)] * 3, [torch.zeros(2), torch.ones(2), torch.zeros(2)]
    stream = resumed(before, after, 2)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="batch 1 of epoch 0"):
            stream.next()
    stream = resumed(before, after, 2, allow_changes=True)
    with pytest.warns(UserWarning, match="batch 1 of epoch 0.*continuing with other batches") as caught:
        assert taken(stream, 2) == [[0, 0], [0, 0]]
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize("make", [list, lambda batches: lambda epoch: iter(batches)])
def test_a_shorter_epoch_is_another(make):
    before, after = make([torch.zeros(1)] * 3), make([torch.zeros(1)] * 2)
    with pytest.raises(CheckpointError, match="batch 2 of epoch 0"):
        resumed(before, after, 3).next()
    with pytest.warns(UserWarning, match="batch 2 of epoch 0"):
        stream = resumed(before, after, 3, allow_changes=True)
        stream.next()
    assert (stream.epoch, stream.position) == (1, 1)


def test_a_state_without_a_digest_is_not_compared():
    stream = BatchStream([1, 2, 3], "train", 7)
    stream.load_state_dict({"epoch": 4, "position": 2, "started": {"torch": None}})
    assert (stream.next(), stream.epoch) == (3, 4)
    stream.load_state_dict({"epoch": 4, "position": 5, "started": None})
    with pytest.raises(CheckpointError, match="batch 4 of epoch 4"):  # there is none
        stream.next()


def test_a_state_is_comparable_before_and_after_an_epoch_ends():
    stream = BatchStream([1, 2], "train", 7)
    assert stream.state_dict() == {"epoch": 0, "position": 0, "digest": None}
    taken(stream, 2)
    assert (stream.epoch, stream.position) == (0, 2)
    taken(stream, 1)
    assert (stream.epoch, stream.position) == (1, 1)


def test_a_function_of_another_kind_is_taken():
    class Epochs:
        def __call__(self, epoch):
            return [epoch] * 2

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert taken(BatchStream(Epochs(), "train", 7), 3) == [0, 0, 1]


def test_an_epoch_without_end_is_fine():
    def endless(epoch):
        while True:
            yield torch.rand(1)

    whole = taken(BatchStream(endless, "train", 7), 30)
    assert taken(resumed(endless, endless, 20), 10) == whole[20:]
