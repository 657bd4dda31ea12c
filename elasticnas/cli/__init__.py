"""The command ``elasticnas``."""

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """Run the command line: exit code 1 and one line for what a caller did wrong, 2 for wrong usage."""
    # before the imports, which take a second: Ctrl-C must not end in a traceback
    signal.signal(signal.SIGINT, _leave_at_once)
    from elasticnas.cli.root import run

    run()


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    # nothing has been opened yet; an exception in the middle of an import may be swallowed
    print("stopped", file=sys.stderr, flush=True)
    os._exit(130)
