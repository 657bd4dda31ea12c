"""save and load: whole files or none, and one line for whatever is wrong with them."""

import errno
import json
import os
import re
import sys
from functools import partial
from hashlib import sha256
from typing import Annotated, Literal

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, extract, load, save
from elasticnas.checkpoint import save_checkpoint
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import write_text
from elasticnas.space import Factory
from tests.extraction.test_extract import ARCH, Net
from tests.nn import spaces as s


@pytest.fixture
def saved(tmp_path):
    plain = extract(Net(s.Widths.axes()), ARCH).eval()
    save(plain, ARCH, tmp_path / "model")
    return plain, tmp_path / "model"


def test_what_is_loaded_computes_the_same(saved):
    plain, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["architecture.json", "model.safetensors"]
    x = torch.randn(4, 3)
    assert torch.equal(load(folder, Net).eval()(x), plain(x))
    assert json.loads((folder / "architecture.json").read_text())["architecture"] == {"hidden": 6, "inner": 6}


def test_build_may_take_the_fields_by_name(saved):
    plain, folder = saved

    def build(hidden, inner):
        return Net(s.Widths(hidden=hidden, inner=inner))

    def any_names(**sizes):
        return build(**sizes)

    for make in (build, any_names):
        assert torch.equal(load(folder, make).last.weight, plain.last.weight)


def test_tied_weights_are_stored_once_and_come_back_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.table, self.head = enn.Embedding(50, sizes.hidden), enn.Linear(sizes.hidden, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids))

    plain = extract(Tied(s.Hidden.axes()), s.Hidden(hidden=5), torch.tensor([1]))
    save(plain, s.Hidden(hidden=5), tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * 50 * 5 * 4
    again = load(tmp_path, Tied)
    assert again.head.weight is again.table.weight and torch.equal(again.head.weight, plain.head.weight)


def test_precision_is_kept(tmp_path):
    plain = extract(Net(s.Widths.axes()).bfloat16(), ARCH)
    save(plain, ARCH, tmp_path)
    assert load(tmp_path, Net).last.weight.dtype == torch.bfloat16


def test_every_tensor_keeps_its_own_precision(tmp_path):
    class Counts(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.register_buffer("aa", torch.zeros(2, dtype=torch.float64))
            self.register_buffer("seen", torch.zeros(2, dtype=torch.int32))
            self.part = enn.Linear(sizes.hidden, sizes.inner)

        def forward(self, x):
            return self.part(x)

    plain = extract(Counts(s.Widths.axes()), ARCH)
    plain.part.bfloat16()
    save(plain, ARCH, tmp_path)
    kinds = {name: value.dtype for name, value in load(tmp_path, Counts).state_dict().items()}
    assert kinds == {name: value.dtype for name, value in plain.state_dict().items()}


def test_a_file_does_not_choose_what_is_imported(saved, capsys):
    _, folder = saved
    path = folder / "architecture.json"
    path.write_bytes(of_older_version(path.read_bytes()))
    path.write_text(path.read_text().replace("tests.nn.spaces:Widths", "this:Space"))
    load(folder, Net)
    assert "this" not in sys.modules


def test_a_space_made_inside_a_function_is_rebuilt_from_its_sizes(tmp_path):
    class Local(Space):
        hidden: Literal[4, 2]
        inner: Annotated[tuple[Literal[3, 2], ...], PerLayer(2)]

        @property
        def double(self) -> int:
            return 2 * self.hidden

    class Layers(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.up = enn.Linear(sizes.hidden, sizes.double)
            self.feed = nn.ModuleList(enn.FeedForward(sizes.double, inner) for inner in sizes.inner)

        def forward(self, x):
            x = self.up(x)
            for layer in self.feed:
                x = layer(x)
            return x

    arch = Local(hidden=2, inner=(3, 2))
    save(extract(Layers(Local.axes()), arch), arch, tmp_path)
    assert load(tmp_path, Layers).feed[1].up.weight.shape == (2, 4)


class Grouped(nn.Module):
    def __init__(self, hidden, groups, widths=(1, 1), scale=1.0):
        super().__init__()
        self.norm, self.scale = nn.GroupNorm(groups, hidden), scale
        self.ups = nn.ModuleList(nn.Linear(hidden, width) for width in widths)

    def forward(self, x):
        x = self.norm(x) * self.scale
        return torch.cat([up(x) for up in self.ups], -1)

    @classmethod
    def of_sizes(cls, sizes):
        return cls(sizes.hidden, sizes.groups, sizes.widths)

    @classmethod
    def of_keywords(cls, *, hidden, groups, widths):
        return cls(hidden, groups, widths)


class GroupedSizes(Space):
    hidden: Literal[8, 4]
    depth: Literal[0, 1, 2]
    inner: Annotated[tuple[Literal[3, 2], ...], PerLayer("depth")]

    @property
    def groups(self) -> int:
        return self.hidden // 2

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.hidden, *self.inner)


def grouped(hidden, groups, widths=(1, 1)):
    return Grouped(hidden, groups, widths)


def collecting(groups, **sizes):
    assert set(sizes) == {"hidden", "depth", "inner"}
    return Grouped(sizes["hidden"], groups, (sizes["hidden"], *sizes["inner"]))


def of_the_architecture(sizes):
    assert len(sizes.inner) == sizes.depth
    return Grouped(sizes.hidden, sizes.groups, (sizes.hidden, *sizes.inner))


class Maker:
    def build(self, widths, groups, hidden):
        return Grouped(hidden, groups, widths)


@pytest.mark.parametrize("imported", [True, False])
@pytest.mark.parametrize(
    "build",
    [
        grouped,
        collecting,
        of_the_architecture,
        Grouped,
        Grouped.of_sizes,
        Grouped.of_keywords,
        Maker().build,
        partial(Grouped, scale=0.5),
        partial(of_the_architecture),
    ],
)
def test_sizes_that_properties_derive_come_back(build, imported, tmp_path, monkeypatch):
    for arch in (GroupedSizes(hidden=8, depth=1, inner=(2,)), GroupedSizes(hidden=4, depth=0, inner=())):
        plain = Factory(build, GroupedSizes)(arch).eval()
        save(plain, arch, tmp_path / "model")
        if not imported:
            monkeypatch.delattr(sys.modules[__name__], "GroupedSizes")
        again = load(tmp_path / "model", build).eval()
        monkeypatch.undo()
        x = torch.randn(3, arch.hidden)
        assert again.norm.num_groups == arch.hidden // 2 and torch.equal(again(x), plain(x))


def test_what_load_cannot_call_names_the_sizes(tmp_path, monkeypatch):
    arch = GroupedSizes(hidden=4, depth=0, inner=())
    save(Grouped(4, 2), arch, tmp_path)
    for imported in (True, False):
        if not imported:
            monkeypatch.delattr(sys.modules[__name__], "GroupedSizes")
        with pytest.raises(ConfigError, match="the fields are hidden, depth, inner, the properties groups, widths"):
            load(tmp_path, lambda hidden, heads: Grouped(hidden, heads))
        with pytest.raises(ConfigError, match=r"<lambda>\(hidden=4\) fails \(TypeError: .*: is build the one it was"):
            load(tmp_path, lambda hidden: Grouped(hidden))


def test_a_property_over_many_choices_is_saved_without_examining_it(tmp_path):
    class Deep(Space):
        inner: Annotated[tuple[Literal[4, 3, 2, 1], ...], PerLayer(24)]

        @property
        def total(self) -> int:
            return sum(self.inner)

    save(nn.Linear(24, 1), Deep.smallest(), tmp_path)
    assert load(tmp_path, lambda total: nn.Linear(total, 1)).in_features == 24


def test_a_tuple_of_an_older_file_comes_back(tmp_path, monkeypatch):
    arch = GroupedSizes(hidden=4, depth=1, inner=(3,))
    save(Grouped(4, 2, (4, 3)), arch, tmp_path)
    path = tmp_path / "architecture.json"
    description = json.loads(path.read_text())
    widths = description["sizes"].pop("widths")
    description["sizes"] |= {f"widths.{position}": width for position, width in enumerate(widths)}
    del description["checksum"]
    path.write_text(json.dumps(description))
    monkeypatch.delattr(sys.modules[__name__], "GroupedSizes")
    assert [up.out_features for up in load(tmp_path, grouped).ups] == [4, 3]


def of_older_version(text):
    """architecture.json without its checksum."""
    return re.sub(rb',\s+"checksum": "\w+"', b"", text)


def damage(name, change):
    def apply(folder):
        path = folder / name
        path.write_bytes(change(of_older_version(path.read_bytes())))

    return apply


@pytest.mark.parametrize(
    ("message", "spoil"),
    [
        ("not found; give the folder that elasticnas.save wrote", lambda f: (f / "architecture.json").unlink()),
        ("architecture.json: cannot be read", damage("architecture.json", lambda text: text[:40])),
        ("expected format 1, found 9", damage("architecture.json", lambda t: t.replace(b": 1,", b": 9,", 1))),
        ("sha256: Field required", damage("architecture.json", lambda t: t.replace(b"sha256", b"sha"))),
        ("shared: Input should be a valid dict", damage("architecture.json", lambda t: t.replace(b"{}", b"[]"))),
        ("shares 'x', which model.safetensors", damage("architecture.json", lambda t: t.replace(b"{}", b'{"y": "x"}'))),
        ("expected format 1, found 'list'", damage("architecture.json", lambda t: b"[]")),
        ("model.safetensors: cannot be read", lambda f: (f / "model.safetensors").unlink()),
        ("its checksum is not the one in architecture.json", damage("model.safetensors", lambda data: data[:-4])),
        ("its checksum is not", damage("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
        ("hidden: Input should be 8, 6 or 4 (got 5)", damage("architecture.json", lambda t: t.replace(b": 6", b": 5"))),
    ],
)
def test_damage_is_one_line(saved, message, spoil):
    _, folder = saved
    spoil(folder)
    with pytest.raises(CheckpointError) as raised:
        load(folder, Net)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("entry", ["architecture", "sizes", "shared", "space", "sha256"])
def test_an_edited_architecture_is_refused_by_its_checksum(saved, entry):
    _, folder = saved
    path = folder / "architecture.json"
    description = json.loads(path.read_text())
    changed = {"architecture": {"hidden": 4, "inner": 6}, "sizes": {}, "shared": {"a": "b"}}
    path.write_text(json.dumps(description | {entry: changed.get(entry, "0")}))
    with pytest.raises(CheckpointError, match="edited or damaged"):
        load(folder, Net)


def without_checksum(folder, **entries):
    path = folder / "architecture.json"
    description = json.loads(path.read_text()) | entries
    del description["checksum"]
    path.write_text(json.dumps(description))


def test_sizes_that_contradict_the_architecture_are_refused(saved):
    _, folder = saved
    without_checksum(folder, sizes={"hidden": 8, "inner": 6})
    with pytest.raises(CheckpointError, match="hidden is 8 in sizes and 6 in architecture"):
        load(folder, Net)


def test_huge_sizes_are_compared_before_memory_is_taken(tmp_path):
    class Local(Space):
        hidden: Literal[4, 2]

        @property
        def double(self) -> int:
            return 2 * self.hidden

    save(nn.Linear(8, 8), Local(hidden=4), tmp_path)
    huge = 10**9  # a matrix of 4 * 10**18 bytes, which no machine can allocate
    without_checksum(tmp_path, sizes={"hidden": 4, "double": huge})
    with pytest.raises(CheckpointError, match=r"has the shape \(8,\), but .* has \(1000000000,\)"):
        load(tmp_path, lambda double: nn.Linear(double, double))


@pytest.mark.parametrize("sizes", [{"a": 2, "a.b": 1}, {"nowhere.size": 1}])
def test_sizes_of_nothing_are_refused(tmp_path, sizes):
    class Local(Space):
        hidden: Literal[4, 2]

    save(nn.Linear(2, 2), Local(hidden=4), tmp_path)
    without_checksum(tmp_path, sizes=sizes)
    with pytest.raises(CheckpointError, match="but the architecture has no"):
        load(tmp_path, lambda hidden: nn.Linear(2, 2))


def test_deep_nesting_is_one_line(saved):
    _, folder = saved
    (folder / "architecture.json").write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match="nested too deeply"):
        load(folder, Net)


def test_a_build_of_other_shapes_is_refused(saved):
    _, folder = saved
    with pytest.raises(
        CheckpointError, match=r"block\.feed\.down\.bias has the shape \(6,\), but .* has \(8,\): is build"
    ):
        load(folder, lambda arch: Net(s.Widths(hidden=8, inner=6)))
    with pytest.raises(CheckpointError, match=r"block\.feed\.down\.bias has the shape \(6,\), .* has none"):
        load(folder, lambda arch: nn.Sequential())


def test_weights_on_the_meta_device_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is on the meta device: there are no weights to save"):
        save(nn.Linear(2, 2, device="meta"), ARCH, tmp_path)
    assert not list(tmp_path.iterdir())


def full(monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_full_disk_leaves_what_was_there(monkeypatch, saved, tmp_path):
    plain, folder = saved
    before = {path: path.read_bytes() for path in folder.iterdir()}
    full(monkeypatch)
    for write in (
        lambda: save(plain, ARCH, folder),
        lambda: write_text(folder / "architecture.json", "half"),
        lambda: save_checkpoint(folder / "model.safetensors", {"x": torch.zeros(9)}, {}),
    ):
        with pytest.raises(ElasticNASError, match="cannot be written, the disk is full; free space or choose another"):
            write()
        assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ElasticNASError, match="cannot be written"):
        save(nn.Linear(2, 2), ARCH, tmp_path / "file")


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused(saved, kind):
    _, folder = saved
    path = folder / "model.safetensors"
    path.write_bytes(to_bytes({name: tensor.to(kind) for name, tensor in load_file(path).items()}))
    without_checksum(folder, sha256=sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match=rf"is of {kind}, in the network of torch.float32; save it again"):
        load(folder, Net)
