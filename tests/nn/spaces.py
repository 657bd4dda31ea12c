"""Small spaces for the primitives' tests, importable so that axes can be pickled."""

from typing import Literal

from pydantic import model_validator

from elasticnas import Space


class Widths(Space):
    hidden: Literal[8, 6, 4]
    inner: Literal[10, 6]


class Missing(Space):
    hidden: Literal[8, 5]
    inner: Literal[0, 6, 10]


class Hidden(Space):
    hidden: Literal[7, 5, 2]


class Heads(Space):
    hidden: Literal[8, 5]
    heads: Literal[4, 2]
    head_dim: Literal[4, 3, 1]


class AttentionWithBias(Heads):
    biased: bool


class Grouped(Space):
    heads: Literal[8, 4, 2]
    kv_heads: Literal[4, 2, 1]
    head_dim: Literal[3, 2]

    @model_validator(mode="after")
    def divides(self):
        if self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kv_heads")
        return self


class KeyHeads(Space):
    kv_heads: Literal[4, 2, 1]
    head_dim: Literal[3, 2]


class Depth(Space):
    hidden: Literal[6, 4]
    depth: Literal[0, 1, 3]


class Chosen(Space):
    hidden: Literal[6, 4]
    first: bool
    second: bool


class Branches(Space):
    hidden: Literal[6, 4]
    kind: Literal["plain", "deep"]


class Candidates(Space):
    width: Literal[0, 1, 2]

    @property
    def hidden(self) -> int:
        return (4, 6, 8)[self.width]

    @property
    def inner(self) -> int:
        return (6, 9, 12)[self.width]


class Encoder(Space):
    hidden: Literal[12, 8]
    inner: Literal[16, 12]
    heads: Literal[4, 2]
    depth: Literal[1, 2]
    kind: Literal["softmax", "linrec"]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads
