"""Answer requests about another library, in its environment, without imports from this project.

``python -I serve.py NAME`` reads a JSON object from every line of stdin, and answers by one JSON line on stdout. ``do``
is ``open``, which calls ``open_side`` of ``NAME_runner.py`` and answers with the side's ``describe``, or the name of
another method of the side; the other fields are its arguments. Runners import their libraries only when opened.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    sys.path.append(str(Path(__file__).parent))  # -I leaves it out; last, so that it hides no library
    runner = import_module(f"{sys.argv[1]}_runner")
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        if do == "open":
            side = runner.open_side(**request)
            answer = side.describe()
        else:
            answer = getattr(side, do)(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
