"""Files that vanish from the folder of a run are noticed."""

import shutil
import zipfile

import numpy as np
import pytest
import torch

import easrec
from easrec.data import Interactions
from elasticnas.errors import CheckpointError, DataError
from elasticnas.run import Run

FAST = {"search": {"epochs": 1, "random_architectures": 1}, "train": {"epochs": 1}, "compare": []}


def test_a_resumed_run_writes_its_data_again(tmp_path):
    out = tmp_path / "run"
    easrec.run(preset="demo", out=out, settings=FAST, progress=None)
    before = Interactions.load(out / "data.npz")
    (out / "data.npz").unlink()
    easrec.run(preset="demo", out=out, settings=FAST, progress=None, resume=True)
    assert torch.equal(*(torch.from_numpy(each.items) for each in (before, Interactions.load(out / "data.npz"))))


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_is_deleted_during_a_run_is_an_error(tmp_path, again):
    with pytest.raises(CheckpointError, match="was deleted or replaced while the run wrote to it"), Run(tmp_path / "a"):
        shutil.rmtree(tmp_path / "a")
        if again:
            (tmp_path / "a").mkdir()
    with Run(tmp_path / "b"):
        pass


def test_an_archive_that_expands_a_thousandfold_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("items.npy", "w") as part:
        for _ in range(100):
            part.write(bytes(2**20))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"items\.npy would expand"):
        Interactions.load(path)
