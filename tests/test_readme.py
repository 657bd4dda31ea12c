"""What README and docs say, works."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.documentation import PAGES, all_chains, blocks, chains, script

FIRST = chains(ROOT / "README.md", "python")[0]  # runs in a process of its own, below
TRAINS = ("python examples/", "easrec run", "easrec search", "digits run", "charlm run")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with what a clone has and the blocks read."""
    for name in ("examples", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results", "runs"))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def environment(folder):
    path = [str(folder / "site"), str(ROOT), str(ROOT / "recipes"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


@pytest.mark.parametrize("block", [chain for chain in all_chains("python") if chain != FIRST], ids=str)
def test_python_blocks_run_alone_or_after_what_they_continue(block, clone):
    exec(compile(block.code, str(block), "exec"), {"__name__": "__pasted__"})


ROW = re.compile(r"(\w+) +accuracy ([01]\.\d{3}) +(\d+)% of the FLOPs +hidden=\d+ inner=\d+ depth=\d+")


def table(text):
    """Accuracy and share of the FLOPs by the first word of each row."""
    rows = [ROW.fullmatch(line) for line in text.splitlines()]
    assert all(rows), text
    return {row[1]: (float(row[2]), int(row[3])) for row in rows}


def test_the_first_example_finds_a_small_network_as_good_as_the_largest(clone):
    command = [sys.executable, "-W", "error", "-c", FIRST.code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(clone))
    assert (done.returncode, done.stderr) == (0, "")
    shown = table(next(blocks(ROOT / "README.md", "text")).code)
    for rows in (table(done.stdout), shown):
        assert list(rows) == ["largest", "random", "found"]
        assert rows["largest"][1] == 100 and max(rows["random"][1], rows["found"][1]) <= 50
        assert rows["found"][0] > rows["random"][0] and rows["found"][0] >= rows["largest"][0] - 0.03
    same = "28 % of its FLOPs"
    assert f"{shown['found'][1]} % of its FLOPs" == same and same in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (clone / "runs" / "first" / "model.safetensors").exists()


def shell(block):
    """A parameter; slow where it trains or starts several processes, but for README's own recommender."""
    slow = any(word in block.code for word in TRAINS) or len(re.findall(r"^elasticnas ", block.code, re.M)) > 1
    shown = block.page.name == "README.md" and "python examples/" not in block.code
    return pytest.param(block, id=str(block), marks=[pytest.mark.slow] if slow and not shown else [])


@pytest.mark.parametrize("block", [shell(block) for block in all_chains("sh")])
def test_shell_blocks_run_alone_or_after_what_they_continue(block, clone):
    done = subprocess.run(["bash", "-c", script(block)], capture_output=True, text=True, env=environment(clone))
    assert done.returncode == 0, done.stdout + done.stderr


def commands():
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in re.split(r"\n|\|", block.code.replace("\\\n", " ")):
                words = shlex.split(line, comments=True)
                if words[:1] == ["elasticnas"]:
                    yield page, words[1:]


def test_commands_and_options_exist(main, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    own = {"funnel"}  # of the page that makes a recipe
    found = [(page, words) for page, words in commands() if words[0] not in own]
    assert len(found) > 5
    for page, words in found:
        names = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        code, shown, said = main(*names, "--help")
        assert code == 0, f"{page.name}: {' '.join(names)}: {said}"
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", shown), f"{page.name}: {' '.join(words)}: no {option}"


def test_files_that_commands_read_are_in_the_clone():
    for page in PAGES:
        text = "".join(block.code for block in blocks(page, "sh"))
        for name in re.findall(r"(?:--data|--items) (\S+)|\b(examples/\S+)", text):
            file = "".join(name)
            assert (ROOT / file).exists() or f"> {file}\n" in text, f"{page.name}: {file}"


def test_the_five_lines_are_a_whole_test_class(tmp_path):
    text = next(blocks(ROOT / "docs" / "testing.md", "python")).code
    body = text[text.index("class TestBlock") :].strip().splitlines()
    assert len(body) == 5
    (tmp_path / "test_block.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_block.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "pytest collects fifteen tests" in (ROOT / "docs" / "testing.md").read_text() and "15 passed" in done.stdout


def definitions(text):
    """Functions and classes by name, as they read without docstrings and comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return {node.name: ast.unparse(node) for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize(
    ("page", "example", "names"),
    [
        ("own-cost.md", "own_cost.py", ["Energy"]),
        ("own-primitive.md", "own_leaf.py", ["ElasticConv1d", "Conv1d"]),
        ("own-recipe.md", "plugin_package/funnel/space.py", ["Funnel"]),
        ("own-strategy.md", "strategy_package/sparse/strategy.py", ["Sparsemax", "Sparse"]),
        ("search.md", "compare_strategies.py", ["Sizes", "Net", "batches", "loss", "accuracy"]),
    ],
)
def test_pages_show_the_code_of_their_examples(page, example, names):
    shown = definitions(next(blocks(ROOT / "docs" / page, "python")).code)
    tested = definitions((ROOT / "examples" / example).read_text(encoding="utf-8"))
    assert {name: shown[name] for name in names} == {name: tested[name] for name in names}


def test_every_setting_is_explained():
    from easrec.config import Config
    from easrec.presets import preset_names

    text = (ROOT / "docs" / "easrec.md").read_text()

    def keys(data):
        for key, value in data.items():
            yield key
            yield from keys(value) if isinstance(value, dict) else ()

    missing = [name for name in [*keys(Config().model_dump()), *preset_names()] if f"`{name}`" not in text]
    assert not missing


def anchors(page):
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)]*)\)", prose):
            if not target.startswith("http"):
                there = page.parent / target if target else page
                assert there.exists(), f"{page}: {target}"
                assert not anchor or anchor in anchors(there), f"{page}: {target}#{anchor}"


def test_every_page_is_in_the_list():
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "README.md" or f"({page.name})" in listed, page.name


def test_the_glossary_is_in_order_and_every_term_leads_somewhere():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.M)[1:]
    terms = [row[0].lower() for row in rows]
    assert terms == sorted(terms, key=lambda term: re.sub(r"[^a-z]", "", term)) and len(set(terms)) == len(terms) > 40
    assert all("](" in row[2] for row in rows)
