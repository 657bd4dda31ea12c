"""Files: only regular ones are read, and temporary files of killed writes do not stay."""

import os
import time

import pytest

from elasticnas.checkpoint import load_checkpoint
from elasticnas.errors import CheckpointError
from elasticnas.extraction import load
from elasticnas.files import read_bytes, write_bytes
from elasticnas.study.examples import read_values


def test_an_abandoned_temporary_file_is_deleted_by_the_next_write(tmp_path):
    path, hour = tmp_path / "data[1].npz", 3600
    old = tmp_path / ".data[1].npz.abcd.elasticnas-tmp"
    kept = [
        tmp_path / ".data[1].npz.efgh.elasticnas-tmp",  # of a process that may be alive
        tmp_path / ".other.npz.abcd.elasticnas-tmp",
        tmp_path / ".data1.npz.abcd.elasticnas-tmp",
        tmp_path / ".data[1].npz.abcd",
    ]
    for each in (old, *kept):
        each.write_text("part")
        age = 0 if each == kept[0] else 2 * hour
        os.utime(each, (time.time() - age,) * 2)
    write_bytes(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert sorted(each for each in tmp_path.iterdir() if each != path) == sorted(kept)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    (tmp_path / "architecture.json").write_text("{}")
    for name in ("pipe", "rows.values"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"damaged \(.*not a regular file"):
        load_checkpoint(tmp_path / "pipe", {})
    with pytest.raises(CheckpointError, match="missing or damaged"):
        read_values(tmp_path / "rows.values", 3)
    (tmp_path / "architecture.json").unlink()
    os.mkfifo(tmp_path / "architecture.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load(tmp_path, object)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device without an end here")
def test_a_device_is_refused_rather_than_read_without_end(tmp_path):
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(type(tmp_path)("/dev/zero"))
