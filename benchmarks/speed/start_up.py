"""Start-up time of imports and the command line, in new processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory

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
    "numpy and polars it imports. *A run*: CPU time of a new process until the first training step of a search with "
    "the preset `ml-1m`, data included; *torch and its optimizer*: that of `import torch` and of constructing Adam, "
    "which imports torch's compiler."
)
_IMPORT_S, _HELP_S, _RUN_S = 0.3, 0.5, 2.0
_CPU = "; import time; print(time.process_time())"
_TORCH = "import torch; torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])" + _CPU
_RUN = """
import contextlib, os, sys, time
import torch
import easrec.cli
from easrec.data import prepare, read_interactions
from easrec.losses import BatchLoss
from easrec.pipeline import Pipeline
from easrec.presets import load_preset
from elasticnas.run import Run

def stop(*given):
    print(time.process_time(), file=sys.__stdout__, flush=True)
    os._exit(0)

BatchLoss.__call__ = stop
torch.set_num_threads(1)
with contextlib.redirect_stdout(sys.stderr):
    data = prepare(read_interactions(sys.argv[1]))
    with Pipeline(data, load_preset("ml-1m"), Run(sys.argv[2]), torch.device("cpu")) as pipeline:
        pipeline.search()
"""
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
    if scale.data is not None:
        _add_run(found, scale)
    return found


def _add_run(found: Measured, scale: Scale) -> None:
    """Measure the CPU time of a run until its first step, and of what torch takes of it."""
    seconds: dict[str, list[float]] = {"torch and its optimizer": [], "a run": []}
    with TemporaryDirectory() as folder:
        for number in range(scale.rounds):
            seconds["torch and its optimizer"].append(float(_run(_TORCH)))
            seconds["a run"].append(float(_run(_RUN, str(scale.data), f"{folder}/{number}")))
    for name, target in (("torch and its optimizer", None), ("a run", _RUN_S)):
        values = interval(lambda a: a, seconds[name])
        found.rows.append(Row(f"CPU time, {name}", *values, target, unit="s", rounds=scale.rounds))
    of_others = interval(lambda a, b: a - b, seconds["a run"], seconds["torch and its optimizer"])
    found.rows.append(Row("CPU time, a run without these", *of_others, unit="s", rounds=scale.rounds))


def _process(code: str) -> Callable[[], object]:
    return lambda: _run(code)


def _run(code: str, *arguments: str) -> str:
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=path)
    if done.returncode != 0:
        raise ElasticNASError(f"python -c {code!r} failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout
