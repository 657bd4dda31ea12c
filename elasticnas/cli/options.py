"""Options that commands of several recipes share."""

import ctypes
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

from elasticnas.errors import ConfigError

__all__ = ["Device", "Out", "Resume", "Seed", "Set", "Threads", "changes_of", "device_of", "prepare"]

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h

Out = Annotated[Path, typer.Option(help="Folder of the run.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of everything that draws.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes what there is.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting by dotted name, such as model.layers=2.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads of torch.")]


def changes_of(given: list[str] | None) -> dict[str, Any]:
    """What ``--set name=value`` asks for, values read as YAML.

    Raises:
        ConfigError: Not of that form.
    """
    changes: dict[str, Any] = {}
    for change in given or []:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change}: write name=value, such as model.layers=2")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change}: not a value ({' '.join(str(error).split())})") from None
    return changes


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"--device {name}: not available here ({str(error).splitlines()[0]})") from None
    return device


def prepare(threads: int | None) -> None:
    """What every command that trains does first.

    Threads of the CPU as ``--threads`` says. Denormal floats are taken for 0: they slow arithmetic down a hundredfold.
    glibc keeps large buffers for the next step, instead of returning each to the system and paying for fresh pages.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**30)
            mallopt(_TRIM_THRESHOLD, 2**31 - 1)
