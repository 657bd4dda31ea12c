"""Show which timings of the benchmarks became slower since a commit.

``python benchmarks/bench_compare.py v0.1`` (``make bench-compare BASE=v0.1``) checks the commit out into a temporary
worktree, and measures its library and that of this tree alternately, in new processes of this environment, with the
benchmarks of this tree in their quick form. It lists the ratio of every timing, with a bootstrap interval over rounds.
Parts with a timing whose interval is above 1.10 are measured again, as a busy machine gives some by chance; what is
above it again is slower, and the exit code is 1. A part that the older library cannot run is named.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interval import ratio
from speed import PARTS

__all__ = ["Comparison", "Failed", "check_out", "compare", "compared", "confirmed", "measure", "table"]

ROOT = Path(__file__).resolve().parents[1]
SLOWER = 1.10


class Failed(Exception):
    """The library of a tree cannot run a part."""

    def __init__(self, tree: Path, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.tree, self.reason = tree, reason


@dataclass(frozen=True)
class Comparison:
    """Time of one form now, relative to the base.

    Attributes:
        name: Part and form.
        value: Ratio of medians.
        low: Low end of its 95 % interval.
        high: High end.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``slower`` or ``faster`` if the whole interval is beyond 10 %; otherwise empty."""
        return "slower" if self.low > SLOWER else "faster" if self.high < 1 / SLOWER else ""


@contextmanager
def check_out(base: str, root: Path = ROOT) -> Iterator[Path]:
    """Check a commit out into a temporary worktree, which is removed at the end.

    Raises:
        SystemExit: There is no such commit.
    """
    git = ["git", "-C", str(root)]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        added = subprocess.run([*git, "worktree", "add", "--detach", str(tree), base], capture_output=True, text=True)
        if added.returncode != 0:
            raise SystemExit(f"{base}: no commit to compare with ({added.stderr.strip().splitlines()[-1]})")
        try:
            yield tree
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], capture_output=True, check=True)


def measure(tree: Path, part: str, options: Sequence[str]) -> dict[str, float]:
    """Measure a part in a new process, with the library and the recipes of a tree; return milliseconds by form.

    Raises:
        Failed: The process failed; the reason is its last line.
    """
    path = os.pathsep.join([str(tree), str(tree / "recipes")])
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(ROOT / "benchmarks/bench.py"), out, "--only", part, *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env={**os.environ, "PYTHONPATH": path})
        if done.returncode != 0:
            raise Failed(tree, part, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        record = json.loads((Path(out) / "bench.json").read_text())
    return {figure["form"]: figure["ms"] for figure in record["parts"][part]["figures"] if "ms" in figure}


def compared(part: str, rounds: Sequence[tuple[dict[str, float], dict[str, float]]]) -> list[Comparison]:
    """Compare the forms that both sides timed.

    Args:
        part: Name of the part.
        rounds: Milliseconds by form, of the base and of this tree, for each round.
    """
    base, own = ([pair[side] for pair in rounds] for side in (0, 1))
    forms = [form for form in own[0] if form in base[0]]
    return [
        Comparison(f"{part}: {form}", *ratio([each[form] for each in own], [each[form] for each in base]))
        for form in forms
    ]


def compare(
    base: Path, own: Path, parts: Sequence[str], rounds: int, options: Sequence[str]
) -> tuple[list[Comparison], list[str]]:
    """Measure two trees alternately, the order reversed from round to round.

    Args:
        base: Tree with the older library.
        own: Tree with the newer one.
        parts: Parts to measure.
        rounds: Processes of each tree and part.
        options: Further arguments of ``bench.py``.

    Returns:
        The comparisons, and one line for each part that cannot be compared.

    Raises:
        Failed: The newer library cannot run a part.
    """
    found, omitted = [], []
    for part in parts:
        print(part, flush=True)
        timed: list[tuple[dict[str, float], dict[str, float]]] = []
        try:
            for number in range(rounds):
                order = (own, base) if number % 2 else (base, own)
                by_tree = {tree: measure(tree, part, options) for tree in order}
                timed.append((by_tree[base], by_tree[own]))
        except Failed as error:
            if error.tree == own:
                raise
            omitted.append(f"{part}: not compared, because the base cannot run it ({error.reason})")
            continue
        found += compared(part, timed)
    return found, omitted


def confirmed(first: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons, those that were slower with the figures of the second measurement."""
    repeated = {each.name: each for each in again}
    return [repeated[each.name] if each.verdict == "slower" else each for each in first]


def table(comparisons: Sequence[Comparison]) -> str:
    """Return a line per timing, the slowest first."""
    lines = [
        f"{each.value:6.2f} ({each.low:.2f} to {each.high:.2f})  {each.verdict:6}  {each.name}"
        for each in sorted(comparisons, key=lambda each: -each.low)
    ]
    slower = sum(each.verdict == "slower" for each in comparisons)
    last = f"{slower} of {len(comparisons)} timings are slower: their intervals are above {SLOWER:.2f}."
    return "\n".join(["time now / base (interval)", *lines, last])


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if a timing is slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="Commit, branch or tag to compare with.")
    parser.add_argument("--only", action="append", choices=PARTS, help="Part to measure; repeat for several.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="Use tiny sizes, to check that everything runs.")
    options = parser.parse_args(arguments)
    more = ["--tiny" if options.tiny else "--quick", "--threads", str(options.threads)]
    with check_out(options.base) as tree:
        try:
            found, omitted = compare(tree, ROOT, options.only or PARTS, options.rounds, more)
            if suspects := [part for part in PARTS if _slower(found, f"{part}: ")]:
                print("slower, measured again:", flush=True)
                found = confirmed(found, compare(tree, ROOT, suspects, options.rounds, more)[0])
        except Failed as error:
            raise SystemExit(f"this tree fails: {error}") from None
    print("\n".join([table(found), *omitted]))
    return int(_slower(found))


def _slower(found: Sequence[Comparison], prefix: str = "") -> bool:
    return any(each.verdict == "slower" for each in found if each.name.startswith(prefix))


if __name__ == "__main__":
    sys.exit(main())
