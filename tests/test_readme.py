"""What README says, works."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__readme__"}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)


def commands():
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["elasticnas"]:
                    yield page, words[1:]


def test_commands_and_options_exist(main, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    found = list(commands())
    assert len(found) > 5
    for page, words in found:
        names = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        code, shown, said = main(*names, "--help")
        assert code == 0, f"{page.name}: {' '.join(names)}: {said}"
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", shown), f"{page.name}: {' '.join(words)}: no {option}"


def test_the_five_lines_are_a_whole_test_class(tmp_path):
    text = blocks(ROOT / "docs" / "testing.md", "python")[0]
    body = text[text.index("class TestBlock") :].strip().splitlines()
    assert len(body) == 5
    (tmp_path / "test_block.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_block.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "pytest collects fifteen tests" in (ROOT / "docs" / "testing.md").read_text() and "15 passed" in done.stdout


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


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page}: {target}"
