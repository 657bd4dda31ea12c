"""BatchStream: batches without end that can be taken up again where they stopped."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from elasticnas.errors import SearchError

__all__ = ["BatchStream", "Epochs"]

Epochs = Callable[[int], Iterable[Any]]


class BatchStream:
    """Batches epoch after epoch.

    Args:
        epochs: Gives the batches of an epoch, counted from 0. It resumes exactly when the same number gives the same
            batches, as a generator seeded by the epoch does.
        name: For the error.

    Raises:
        SearchError: An epoch has no batch.
    """

    def __init__(self, epochs: Epochs, name: str) -> None:
        self._epochs, self._name = epochs, name
        self.epoch, self.position = 0, 0
        self._iterator: Iterator[Any] | None = None

    def next(self) -> Any:
        """The next batch."""
        if self._iterator is None:
            self._iterator = iter(self._epochs(self.epoch))
            for _ in range(self.position):
                next(self._iterator)
        try:
            batch = next(self._iterator)
        except StopIteration:
            if self.position == 0:
                raise SearchError(f"{self._name}: epoch {self.epoch} has no batch") from None
            self.epoch, self.position, self._iterator = self.epoch + 1, 0, None
            return self.next()
        self.position += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream is."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where a stream was."""
        self.epoch, self.position, self._iterator = state["epoch"], state["position"], None
