"""The page of several processes, of a record written by hand."""

import sys

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import parallel as script

WHERE = {
    "command": "python benchmarks/parallel.py out",
    "commit": "c0ffee",
    "processor": "P",
    "threads": 1,
    "torch": "2",
}
RECORD = {
    "environment": WHERE,
    "load": 0.5,
    "steps_ms": {"1 process, 1 thread": 200.0, "2 processes, 1 thread each, DDP": 250.0},
    "cells": {"ddp": {"a": 2e-16, "b": 3e-13}, "fsdp": {"a": 1e-15}},
    "recipe": 4e-14,
    "refused": {"order=2": "ConfigError: use order=1"},
}


def test_the_page_shows_every_cell_and_the_largest_difference():
    lines = script.page(RECORD).splitlines()
    assert "| work | DDP | FSDP2 |" in lines
    assert "| a | 2.0e-16 | 1.0e-15 |" in lines
    assert "| b | 3.0e-13 | refused |" in lines
    assert "| order=2 | ConfigError: use order=1 |" in lines
    assert "| 2 processes, 1 thread each, DDP | 250 | 1.25 |" in lines
    assert any("The largest of all is **3.0e-13**" in line for line in lines)


def test_an_error_is_worse_than_any_difference():
    cells = {"ddp": {"a": 2e-16, "b": "SearchError: it failed"}}
    assert "is **SearchError: it failed**" in script.page(RECORD | {"cells": cells})
