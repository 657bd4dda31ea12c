"""The picture of the architecture is that of the imports, and what design.md says of the layers is what is tested."""

import importlib.util
import re

from tests.conftest import ROOT
from tests.test_layers import LAYERS


def drawing():
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_code():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert page == drawing().page(), "run: python docs/draw_architecture.py"


def test_imports_of_folders_files_and_recipes_are_arrows(tmp_path, monkeypatch):
    draw = drawing()
    sources = {
        "elasticnas/__init__.py": "",
        "elasticnas/low.py": '"""Low."""',
        "elasticnas/middle/__init__.py": '"""Middle."""',
        "elasticnas/middle/part.py": "from elasticnas.low import x\nfrom elasticnas.middle.other import y",
        "elasticnas/top.py": '"""Top."""\nimport elasticnas.middle.part\ndef f():\n    from elasticnas.low import x',
        "recipes/own/plugin.py": '"""Own."""\nimport elasticnas.low, torch',
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(draw, "ROOT", tmp_path)
    graph = draw.edges(draw.parts())
    assert graph == {"low": set(), "middle": {"low"}, "top": {"low", "middle"}, "own": {"low"}}
    assert draw.reduced(graph) == {"low": set(), "middle": {"low"}, "top": {"middle"}, "own": {"low"}}
    assert "| `top` | Top. | low, middle |" in draw.page() and "top --> low" not in draw.page()


def test_design_names_the_layers_that_are_tested():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    chain = re.search(r"^errors < .*?\.", text, re.M | re.S)[0].removesuffix(".")
    assert [part.split(", ") for part in " ".join(chain.split()).split(" < ")] == [
        names for names in LAYERS if names != ["__main__"]
    ]
