"""A typed user's run of EASRec: what the checkers must accept."""

from typing_extensions import assert_type

import easrec
from easrec.result import Network, RunResult
from easrec.space import EASRecSpace


def sizes(result: RunResult[EASRecSpace]) -> tuple[int, int]:
    assert_type(result.networks["found"], Network[EASRecSpace])
    assert result.search is not None
    assert_type(result.search.result.best, EASRecSpace)
    assert_type(result.search.result.best.hidden, int)
    assert_type(result.networks["found"].architecture.depth, int)
    return result.search.result.best.inner, result.networks["largest"].architecture.head_dim


def run() -> None:
    sizes(easrec.run(preset="demo", out="runs/typed"))
    recommender = easrec.Recommender.load("runs/typed")
    assert_type(recommender.recommend([["i7", "i3"]], top=3), list[list[tuple[str, float]]])
