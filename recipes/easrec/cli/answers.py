"""Answers of ``recommend`` to a file of CSV or Parquet: one row for each user and rank."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from elasticnas.errors import ConfigError
from elasticnas.files import write_bytes

__all__ = ["Answer", "require_table", "write_answers"]

Answer = list[tuple[str, float]]
_KINDS = (".csv", ".parquet")
_TOGETHER = 4096  # users


def require_table(path: Path) -> None:
    """Check that the name of a file says CSV or Parquet.

    Raises:
        ConfigError: It says something else.
    """
    if path.suffix.lower() not in _KINDS:
        raise ConfigError(f"--to {path}: the name must end in {' or '.join(_KINDS)}")


def write_answers(
    path: Path,
    users: Sequence[str],
    answers_of: Callable[[Sequence[str]], list[Answer]],
    fallback: Sequence[bool] = (),
) -> int:
    """Write the columns user, rank (from 1), item, score and fallback; return the number of rows.

    Args:
        path: A file that :func:`require_table` accepts; it is written completely or not at all.
        users: Ids of the users.
        answers_of: Returns the answers for some users.
        fallback: Which users get the most popular items, for want of a history; empty if none does.

    Raises:
        ElasticNASError: The file cannot be written.
    """
    frame = pl.concat([_frame([], [], []), *_frames(users, answers_of, fallback or [False] * len(users))])
    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        frame.write_csv(buffer)
    else:
        frame.write_parquet(buffer)
    write_bytes(path, buffer.getvalue())
    return len(frame)


def _frames(
    users: Sequence[str], answers_of: Callable[[Sequence[str]], list[Answer]], fallback: Sequence[bool]
) -> Iterator[pl.DataFrame]:
    for first in range(0, len(users), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        yield _frame(users[part], answers_of(users[part]), fallback[part])


def _frame(users: Sequence[str], answers: list[Answer], fallback: Sequence[bool]) -> pl.DataFrame:
    rows = [
        (user, rank, item, score, popular)
        for user, answer, popular in zip(users, answers, fallback, strict=True)
        for rank, (item, score) in enumerate(answer, 1)
    ]
    schema = {"user": pl.String, "rank": pl.Int32, "item": pl.String, "score": pl.Float64, "fallback": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")
