"""Blocks of code that README and docs show, and what runs them."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONTINUES = "# continues: "


@dataclass(frozen=True)
class Block:
    """Code that runs alone: a block with all that it continues before it."""

    page: Path
    line: int
    code: str
    parts: int = 1

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page, language):
    """Every block of a page with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.S | re.M):
        yield Block(page, text.count("\n", 0, found.start(1)) + 1, found[1])


def chains(page, language):
    """Blocks joined with those that continue them, by their first lines."""
    joined = []
    for block in blocks(page, language):
        if block.code.startswith(CONTINUES):
            assert joined, f"{block}: continues a block that is not there"
            last = joined.pop()
            block = Block(page, last.line, f"{last.code}\n{block.code}", last.parts + 1)
        joined.append(block)
    return joined


def all_chains(language):
    return [chain for page in PAGES for chain in chains(page, language)]


# what needs the network, hours or a GPU: its commands, options and files are checked, no more
NOT_RUN = ("easrec download", "easrec reproduce")
SHORT = {
    "easrec": "model.hidden=8 model.inner=8 model.length=8 model.layers=1 model.heads=1 search.epochs=1 "
    "search.batch=256 search.warmup=0 search.random_architectures=2 search.budget=none train.epochs=1 "
    "train.batch=256 negatives=20",
    "digits": "study.steps=4 study.tune_steps=1 study.trials=2 study.population=2 study.shares=[0.5]",
    "charlm": "study.steps=4 study.tune_steps=1 study.trials=2 study.population=2 study.shares=[0.5]",
}
TRAINS = ("easrec run", "easrec search", "digits run", "charlm run")

PREAMBLE = """\
set -e
mkdir -p .venv/bin && touch .venv/bin/activate
elasticnas() {{ {python} -m tests.documentation "$@"; }}
python() {{ {python} "$@"; }}
python3() {{ :; }}
make() {{ :; }}
pytest() {{ :; }}
ruff() {{ :; }}
mypy() {{ :; }}
pip() {{
  case "$2" in
    ./examples/*) {python} -m pip install -q --no-deps --no-build-isolation --no-index --target site "$2";;
  esac
}}
"""


def script(block):
    """A block of shell as one script in which long commands are short."""
    return PREAMBLE.format(python=shlex.quote(sys.executable)) + block.code


def main(words):
    """``elasticnas`` with the settings of a short run; what cannot run here only exists."""
    from elasticnas.cli import main

    command = " ".join(words[:2])
    if command in NOT_RUN:
        return
    if command in TRAINS:
        words = [*words, *(part for change in SHORT[words[0]].split() for part in ("--set", change))]
    sys.argv = ["elasticnas", *words]
    main()


if __name__ == "__main__":
    main(sys.argv[1:])
