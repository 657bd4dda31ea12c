"""Examples of parts of one's own, and the data that the documentation's commands read."""

import math
import subprocess
import sys

import pytest
import torch

from easrec.data import number_features, prepare, read_interactions, read_items
from elasticnas import load_space
from tests.conftest import ROOT
from tests.examples.test_examples import load


def test_own_cost_proves_itself():
    file = ROOT / "examples" / "own_cost.py"
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert done.returncode == 0 and "6 passed" in done.stdout, done.stdout + done.stderr


def test_own_cost_in_numbers():
    example = load("own_cost")
    arch = example.Sizes(hidden=4, depth=1)
    energy = example.Energy(example.Net(example.Sizes.axes()), torch.zeros(1, 6), per_flop=3.0, per_byte=10.0)
    # 6 -> 4 -> 6: 96 FLOPs, 24 + 4 + 24 + 6 = 58 weights of 4 bytes; picojoules
    assert math.isclose(energy(arch), (3 * 96 + 10 * 4 * 58) / 1e6)
    assert energy.identity["per_flop"] == 3.0 and "per_byte" in energy.identity


def test_the_space_of_the_documentation():
    space = load_space(ROOT / "examples" / "my_space.yaml")
    # heads: 2 options in each of 1, 2 or 3 layers
    assert space.__name__ == "Encoder" and space.size() == 3 * 4 * 2 * (2 + 4 + 8) * (2 * 2)
    text = (ROOT / "docs" / "space-files.md").read_text(encoding="utf-8")
    shown = [line.partition("#")[0].rstrip() for line in (ROOT / "examples" / "my_space.yaml").read_text().splitlines()]
    assert "\n".join(line for line in shown if line) in text


def test_the_interactions_of_the_documentation(tmp_path):
    example = load("interactions")
    example.main(tmp_path)
    for name in ("interactions.csv", "items.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "examples" / name).read_bytes()
    data = prepare(read_interactions(tmp_path / "interactions.csv"))
    assert data.statistics.users == 400 and data.statistics.items == 60 and data.statistics.timestamps
    items = read_items(tmp_path / "items.csv", ["genres"])
    features = number_features(items, data.item_ids, ("genres",), "items.csv")
    assert len(features.ids) == 60 and len(set(features.ids.tolist())) == 6


@pytest.mark.filterwarnings("ignore")
def test_strategies_are_compared_over_seeds(tmp_path, monkeypatch, capsys):
    example = load("compare_strategies")
    monkeypatch.setattr(example, "STRATEGIES", (example.RandomSearch, example.Reinforce))
    threads = torch.get_num_threads()
    example.main([str(tmp_path), "--seeds", "2"], {"steps": 10, "update_every": 2})
    torch.set_num_threads(threads)
    page = (tmp_path / "comparison.md").read_text()
    assert capsys.readouterr().out.count("of the FLOPs") == 2 * 2 * 3
    assert "15 architectures" in page and "over 2 seeds" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith(("| random", "| reinforce"))]
    assert [row[0] for row in rows] == ["| random", "| reinforce"]
    measured = example.json.loads((tmp_path / "comparison.json").read_text())["results"]
    for row, runs in zip(rows, measured.values(), strict=True):
        a, b = (run["found"]["accuracy"] for run in runs.values())
        # of two values: the mean, and half their distance times the square root of two
        assert row[1] == f"{(a + b) / 2:.3f} ± {abs(a - b) / math.sqrt(2):.3f}"
        assert all(run["found"]["share"] <= 0.5 and run["largest"]["share"] == 1 for run in runs.values())
