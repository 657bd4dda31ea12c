"""The targets guided by coverage: ``python -m tests.fuzz.atheris_targets csv --seconds 60``.

Needs atheris (``pip install atheris``). Each kind runs in a process of its own; counts are added to the record of the
campaign by ``--out docs/results/fuzz.json``. Inputs that fail are kept in the current folder as ``crash-...``.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from unittest.mock import patch

_DONE = re.compile(r"^Done (\d+) (?:runs )?in", re.MULTILINE)
_FOUND = re.compile(r"^ == Python exception|^==\d+== ?(?:ERROR|libFuzzer)|ALARM", re.MULTILINE)


def guided(kind: str, seconds: int, folder: Path) -> None:
    """Run one target until the time is over, or until it finds a defect; does not return."""
    import atheris

    with atheris.instrument_imports(include=["easrec", "elasticnas", "yaml"]):
        from tests.fuzz.decoder import Decoder
        from tests.fuzz.inputs import Drawn
        from tests.fuzz.targets import attempt
        from tests.fuzz.world import World
    warnings.simplefilter("ignore")
    patch("easrec.data.tables.subprocess", Decoder()).start()
    world = World(folder)
    arguments = ["fuzz", f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=3000", "-max_len=2000"]
    atheris.Setup(arguments, lambda data: attempt(world, kind, Drawn(data)))
    atheris.Fuzz()


def main() -> None:
    """Run the kinds one after the other; print and record how many inputs they had, and how many defects."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("kinds", nargs="+")
    options.add_argument("--seconds", type=int, default=60, help="for each kind")
    options.add_argument("--out", type=Path)
    options.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.here is not None:
        guided(chosen.kinds[0], chosen.seconds, chosen.here)
    found = {}
    for kind in chosen.kinds:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.fuzz.atheris_targets", kind, "--seconds", str(chosen.seconds)]
            done = subprocess.run([*command, "--here", folder], capture_output=True, text=True, errors="replace")
        inputs, defects = _DONE.search(done.stderr), len(_FOUND.findall(done.stderr))
        found[kind] = {"inputs": int(inputs.group(1)) if inputs else 0, "failures": defects, "seconds": chosen.seconds}
        print(kind, found[kind])
        if defects or inputs is None:
            print(done.stderr[-3000:])
    if chosen.out is not None:
        record = json.loads(chosen.out.read_text())
        record["guided"] = record.get("guided", {}) | found
        from benchmarks.record import write
        from tests.fuzz.campaign import page

        write(chosen.out.parent, chosen.out.stem, record, page(record))
    sys.exit(any(each["failures"] for each in found.values()))


if __name__ == "__main__":
    main()
