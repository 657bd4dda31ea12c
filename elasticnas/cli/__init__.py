"""The command ``elasticnas``."""

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """Run the command line; exit with 1 and a one-line message on an error, with 2 on wrong usage."""
    # set before the imports, which take a second, so that Ctrl-C prints no traceback
    signal.signal(signal.SIGINT, _exit_now)
    from elasticnas.cli.root import run

    run()


def _exit_now(number: int, frame: FrameType | None) -> None:
    # no file is open yet, and an exception during an import might be swallowed
    print("stopped", file=sys.stderr, flush=True)
    os._exit(130)
