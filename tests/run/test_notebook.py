"""A real Jupyter kernel: a bar while a search runs, and its result as a table."""

import pytest

from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="pip install nbclient ipykernel ipywidgets")
nbclient = pytest.importorskip("nbclient", reason="pip install nbclient ipykernel ipywidgets")
pytest.importorskip("ipykernel", reason="pip install nbclient ipykernel ipywidgets")
pytest.importorskip("ipywidgets", reason="pip install nbclient ipykernel ipywidgets")

CELL = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "recipes")!r}]
from elasticnas.search import Evolve
from tests.run.test_reporting import problem
Evolve("random", trials=2).search(problem())
"""


@pytest.mark.slow
def test_a_notebook_shows_a_bar_and_a_table():
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs)
    assert "<table>" in outputs[-1].data["text/html"] and "evolve: 2 steps" in outputs[-1].data["text/plain"]
