"""Start-up time of imports and the command line, in new processes."""

import os
import subprocess
import sys
from collections.abc import Callable

from interval import interval

from elasticnas.errors import ElasticNASError
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Start-up"
TEXT = (
    "Wall time of new processes, run alternately. *Import*: `import torch, elasticnas` minus `import torch`; then the "
    "same with everything that a search needs. *--help*: `elasticnas --help` from start to end, and how many of torch, "
    "numpy and polars it imports."
)
_IMPORT_S, _HELP_S = 0.3, 0.5
_HELP = "import sys; sys.argv = ['elasticnas', '--help']; from elasticnas.cli import main; main()"
_LOADED = "import atexit, sys; atexit.register(lambda: print(len({'torch', 'numpy', 'polars'} & sys.modules.keys()))); "


def measure(scale: Scale) -> Measured:
    """Measure imports and ``elasticnas --help``."""
    found = Measured()
    parts = "nn, elasticnas.elastic, elasticnas.extraction, elasticnas.cost, elasticnas.search"
    forms = {
        "import torch": _process("import torch"),
        "import torch, elasticnas": _process("import torch, elasticnas"),
        "import torch and the parts of a search": _process(f"import torch, elasticnas.{parts}"),
        "elasticnas --help": _process(_HELP),
    }
    times = time_alternately(forms, scale.rounds, scale.limit_s)
    torch_alone, package, search, shown = times.values()
    rounds = len(shown)
    for name, longer, target in (
        ("import elasticnas", package, _IMPORT_S),
        ("import what a search needs", search, None),
    ):
        values = interval(lambda a, b: a - b, longer, torch_alone)
        found.rows.append(Row(name, *values, target, unit="s", rounds=rounds))
    found.rows.append(Row("elasticnas --help", *interval(lambda a: a, shown), _HELP_S, unit="s", rounds=rounds))
    loaded = int(_run(_LOADED + _HELP).splitlines()[-1])
    found.rows.append(Row.counted("large packages imported by --help", loaded, 0, unit="packages"))
    found.figures = medians(times)
    return found


def _process(code: str) -> Callable[[], object]:
    return lambda: _run(code)


def _run(code: str) -> str:
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path)
    if done.returncode != 0:
        raise ElasticNASError(f"python -c {code!r} failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout
