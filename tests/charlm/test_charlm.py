"""The charlm recipe: text read and split, its network, and a whole run in seconds."""

import json
import math
import os

import pytest
import torch

from elasticnas import extract, load
from elasticnas.cost import count_flops
from elasticnas.errors import DataError
from elasticnas_recipes.charlm.config import Config
from elasticnas_recipes.charlm.corpus import Corpus, read_corpus, standard_library
from elasticnas_recipes.charlm.model import GPT, Sizes, scaled
from elasticnas_recipes.charlm.task import study

SHORT = ["study.steps=4", "study.tune_steps=2", "study.trials=3", "study.population=2", "study.shares=[0.5]"]
SMALL = [*SHORT, "length=16", "batch=4", "validation_windows=4", "test_windows=8"]


@pytest.fixture
def books(tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.txt").write_text(f"<{number:02}>" + chr(97 + number) * 496, encoding="utf-8")
    return folder


def bytes_of(tensor):
    return bytes(tensor.tolist())


def test_whole_files_go_to_one_part(books):
    corpus = read_corpus([books], "*.txt", length=10, most_bytes=10_000, seed=0)
    parts = {name: bytes_of(getattr(corpus, name)) for name in ("train", "validation", "test")}
    for number in range(20):
        assert sum(f"<{number:02}>".encode() in text for text in parts.values()) == 1
    assert corpus.files == 20 and [len(text) // 500 for text in parts.values()] == [16, 2, 2]
    other = read_corpus([books], "*.txt", length=10, most_bytes=10_000, seed=1)
    assert other.fingerprint != corpus.fingerprint == read_corpus([books], "*.txt", 10, 10_000, 0).fingerprint


def test_few_files_are_split_in_themselves(tmp_path):
    text = "".join(f"{number:04}" for number in range(1000))
    (tmp_path / "one.md").write_text(text)
    corpus = read_corpus([tmp_path / "one.md"], "*.txt", length=10, most_bytes=10_000, seed=0)
    parts = [bytes_of(part).decode() for part in (corpus.train, corpus.validation, corpus.test)]
    assert "".join(parts) == text and [len(part) for part in parts] == [3200, 400, 400]


def test_no_more_is_read_than_asked_for(books):
    corpus = read_corpus([books], "*.txt", length=10, most_bytes=5_000, seed=0)
    assert corpus.files == 10 and len(corpus.train) <= 4_000


def test_training_windows_are_the_same_for_the_same_epoch(books):
    corpus = read_corpus([books], "*.txt", length=10, most_bytes=10_000, seed=0)
    first, again = next(corpus.windows(10, 4, 2, 0)), next(corpus.windows(10, 4, 2, 0))
    assert torch.equal(first, again) and first.shape == (4, 11)
    assert not torch.equal(first, next(corpus.windows(10, 4, 3, 0)))
    text = bytes_of(corpus.train)
    assert all(bytes_of(row) in text for row in first)


def test_held_out_windows_do_not_overlap_in_what_they_predict():
    numbers = torch.arange(101, dtype=torch.uint8)
    corpus = Corpus(numbers, numbers, numbers, files=1)
    windows = corpus.held_out("test", length=10, most=100)
    assert windows.shape == (10, 11) and torch.equal(windows[:, 1:].flatten(), torch.arange(1, 101))
    assert corpus.held_out("test", length=10, most=3)[:, 0].tolist() == [0, 40, 90]


def test_a_text_is_in_one_part_however_often_it_is_there(books):
    (books / "copy.txt").write_text((books / "03.txt").read_text())
    (books / "picture.txt").write_bytes(b"\xff\xfe\x00")
    corpus = read_corpus([books, books / "05.txt", books], "*.txt", length=10, most_bytes=100_000, seed=0)
    assert (corpus.files, corpus.skipped) == (20, 2)
    whole = bytes_of(torch.cat([corpus.train, corpus.validation, corpus.test]))
    assert whole.count(b"<03>") == whole.count(b"<05>") == 1


@pytest.mark.parametrize("seed", range(4))
def test_all_of_the_standard_library_can_be_read(seed):
    """It holds files of other encodings, for its own tests."""
    corpus = read_corpus(standard_library(), "*.py", length=64, most_bytes=8_000_000, seed=seed)
    assert len(corpus.train) > 5_000_000


def test_the_standard_library_is_there():
    corpus = read_corpus(standard_library(), "*.py", length=64, most_bytes=300_000, seed=0)
    assert len(corpus.train) > 200_000 and b"import" in bytes_of(corpus.train)


def mistakes(tmp_path):
    (tmp_path / "latin.txt").write_bytes("fine\ncaf\xe9".encode("latin-1"))
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "nothing").mkdir()
    return [
        ("gone.txt", "gone.txt: not found; give text files or folders by --data"),
        ("latin.txt", "latin.txt, line 2: not UTF-8 text; convert it, or leave it out"),
        ("short.txt", "short.txt: 9 bytes of text leave 7 for train; more than 65 are needed"),
        ("empty.txt", "empty.txt: 0 bytes of text leave 0 for train"),
        ("nothing", "nothing: no file there matches *.txt; name another pattern by --glob"),
    ]


def test_mistakes_are_one_line(main, tmp_path):
    for name, message in mistakes(tmp_path):
        with pytest.raises(DataError):
            read_corpus([tmp_path / name], "*.txt", 64, 1000, 0)
        code, _, warned = main("charlm", "run", "--data", tmp_path / name, "--out", tmp_path / "run")
        assert code == 1 and message in warned and warned.count("\n") == 1, warned
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arch", [Sizes.smallest(), Sizes.largest(), Sizes(hidden=48, heads=3, depth=2, inner=(192, 64))]
)
def test_mask_slice_and_extracted_network_agree(arch):
    torch.manual_seed(0)
    axes = Sizes.axes()
    model, ids = GPT(axes, length=9).double().eval(), torch.randint(256, (3, 9))
    with axes.at(arch):
        sliced = model(ids)
    with axes.masked(arch):
        masked = model(ids)
    plain = extract(model, arch, ids)
    torch.testing.assert_close(masked, sliced, rtol=1e-10, atol=1e-12)
    assert torch.equal(plain(ids), sliced)
    same = GPT(arch, length=9).double()
    same.load_state_dict(plain.state_dict())
    assert torch.equal(same(ids), sliced)


def test_it_sees_no_byte_that_it_predicts():
    torch.manual_seed(0)
    model, ids = GPT(Sizes.largest(), length=12), torch.randint(256, (1, 12))
    changed = ids.clone()
    changed[0, 7] = (changed[0, 7] + 1) % 256
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :7], after[:, :7]) and not torch.equal(before[:, 7:], after[:, 7:])


def test_scaled_by_one_is_the_largest():
    example = torch.zeros(1, 9, dtype=torch.long)
    assert count_flops(GPT(scaled(1.0), 9), example) == count_flops(GPT(Sizes.largest(), 9), example)
    assert GPT(scaled(1e-6), 9)(example).shape == (1, 9, 256)


def test_bits_per_byte_of_a_network_that_knows_nothing_are_eight(books):
    corpus = read_corpus([books], "*.txt", length=16, most_bytes=10_000, seed=0)
    problem = study(Config(length=16), corpus, torch.device("cpu"))[0].problem

    class Even(torch.nn.Module):
        def forward(self, ids):
            return torch.zeros(*ids.shape, 256)

    assert problem.evaluate(Even())["bits per byte"] == pytest.approx(8.0)
    assert float(problem.loss(Even(), torch.zeros(2, 17, dtype=torch.long))) == pytest.approx(math.log(256))


@pytest.mark.slow  # the digits recipe runs by default
def test_the_run_writes_what_the_study_promises(main, books, tmp_path):
    changes = [word for change in SMALL for word in ("--set", change)]
    arguments = ["charlm", "run", "--data", books, "--out", tmp_path / "run", "--threads", 1, *changes]
    code, said, warned = main(*arguments)
    assert code == 0, warned
    assert "20 files of" in said and "pareto.png" in said
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    row = next(row for row in result["rows"] if row["share"] == 1.0 and row["kind"] == "searched")
    network = load(tmp_path / "run" / "networks" / "100", lambda arch: GPT(arch, 16)).eval()
    corpus = read_corpus([books], "*.txt", 16, 8_000_000, 0)
    made, _ = study(Config(length=16, batch=4, test_windows=8), corpus, torch.device("cpu"))
    with torch.no_grad():
        bits = made.test(network)["bits per byte"]
        windows = corpus.held_out("test", 16, 8)
        nats = torch.nn.functional.cross_entropy(network(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
    assert float(nats) / math.log(2) == pytest.approx(row["test"], abs=1e-6) == pytest.approx(float(bits.mean()))
    assert (row["examples"], len(bits)) == (8, 8)
    assert (tmp_path / "run" / "pareto.png").stat().st_size > 10_000
    assert main(*arguments, "--resume")[0] == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_text_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt: cannot be read, not a regular file"):
        read_corpus([tmp_path / "pipe.txt"], "*.txt", length=10, most_bytes=10_000, seed=0)
