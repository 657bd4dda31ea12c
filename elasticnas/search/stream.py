"""BatchStream: batches without end that can be taken up again where they stopped."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from elasticnas.errors import SearchError
from elasticnas.runtime import random_state, restore_random_state

__all__ = ["BatchStream", "Epochs"]

Epochs = Callable[[int], Iterable[Any]]


class BatchStream:
    """Batches epoch after epoch.

    Args:
        epochs: Gives the batches of an epoch, counted from 0. It resumes exactly when the same number gives the same
            batches, as a generator seeded by the epoch does; what a loader draws from the global generators when an
            epoch begins, its order for instance, is drawn again.
        name: For the error.

    Raises:
        SearchError: An epoch has no batch.
    """

    def __init__(self, epochs: Epochs, name: str) -> None:
        self._epochs, self._name = epochs, name
        self.epoch, self.position = 0, 0
        self._iterator: Iterator[Any] | None = None
        self._started: dict[str, Any] | None = None  # the generators before the epoch began

    def next(self) -> Any:
        """The next batch."""
        if self._iterator is None:
            self._iterator = self._taken_up() if self.position else self._begun()
        try:
            batch = next(self._iterator)
        except StopIteration:
            if self.position == 0:
                raise SearchError(f"{self._name}: epoch {self.epoch} has no batch") from None
            self.epoch, self.position, self._iterator = self.epoch + 1, 0, None
            return self.next()
        self.position += 1
        return batch

    def _begun(self) -> Iterator[Any]:
        self._started = random_state()
        return iter(self._epochs(self.epoch))

    def _taken_up(self) -> Iterator[Any]:
        """The epoch again up to its position; what its loader draws is drawn as it was, and from nobody else."""
        now = random_state()
        if self._started is not None:
            restore_random_state(self._started)
        iterator = iter(self._epochs(self.epoch))
        for _ in range(self.position):
            next(iterator)
        restore_random_state(now)
        return iterator

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"epoch": self.epoch, "position": self.position, "started": self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where a stream was."""
        self.epoch, self.position, self._iterator = state["epoch"], state["position"], None
        self._started = state.get("started")
