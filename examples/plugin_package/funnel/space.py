"""The search space: two widths, the second not above the first."""

from typing import Literal

from pydantic import model_validator

from elasticnas import Space

__all__ = ["Funnel"]


class Funnel(Space):
    """Widths of a perceptron with two hidden layers."""

    first: Literal[64, 48, 32]
    second: Literal[48, 32, 16]

    @model_validator(mode="after")
    def narrows(self) -> "Funnel":
        """Refuse a second width above the first."""
        if self.second > self.first:
            raise ValueError(f"second={self.second} is wider than first={self.first}")
        return self
