"""BatchStream: an endless stream of batches that can be resumed."""

from collections.abc import Iterator
from typing import Any

from elasticnas.errors import CheckpointError
from elasticnas.run.digest import Sample, digest, sample
from elasticnas.run.epoch import END, Batches, check_batches, one_epoch
from elasticnas.runtime import warn

__all__ = ["BatchStream"]


class BatchStream:
    """Batches of one epoch after another.

    The random numbers of the source (from the global generators of torch, numpy and Python and from those of its loader
    and sampler) depend only on the seed, the name and the epoch. Other code does not affect them, nor they other code.

    Args:
        source: A loader, a sequence of batches, or a function from the number of an epoch, counted from 0, to an
            iterable of its batches.
        name: Name for seeds and error messages, such as "train".
        seed: Random seed.

    Raises:
        SearchError: The source has none of these forms, or an epoch has no batch.
        CheckpointError: After resuming, the batches differ from those before the interruption.
    """

    def __init__(self, source: Batches, name: str, seed: int) -> None:
        check_batches(source, name)
        self._source, self._name, self._seed = source, name, seed
        self.epoch, self.position = 0, 0
        self._iterator: Iterator[Any] | None = None
        self._last: Sample | str | None = None  # sample of the last batch, later its digest
        self._allow_changes = False

    def next(self) -> Any:
        """Return the next batch."""
        if self._iterator is None:
            self._iterator = self._resumed()
        try:
            batch = next(self._iterator, END)
        except BaseException:
            self._iterator = None  # the next call restarts the epoch at the batch that failed
            raise
        if batch is END:
            self.epoch, self.position, self._iterator = self.epoch + 1, 0, None
            return self.next()
        self.position, self._last = self.position + 1, sample(batch)
        return batch

    def _resumed(self) -> Iterator[Any]:
        """Iterate over the epoch from the position on; check that the batch before it is unchanged."""
        batches = one_epoch(self._source, self._name, self._seed, self.epoch, max(self.position - 1, 0))
        if self.position > 0:
            expected, repeated = self._digest(), next(batches, END)
            if repeated is END or expected not in (None, digest(sample(repeated))):
                self._handle_change()
        return batches

    def _handle_change(self) -> None:
        where = f"{self._name}: batch {self.position - 1} of epoch {self.epoch}, both counted from 0,"
        text = f"{where} is not the one seen before the interruption"
        if not self._allow_changes:
            rule = "batches must depend on the number of the epoch alone"
            raise CheckpointError(f'{text}; {rule}, or continue with other batches by Run(..., allow={{"batches"}})')
        warn(f"{text}; continuing with other batches")

    def _digest(self) -> str | None:
        if isinstance(self._last, list):
            self._last = digest(self._last)
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the stream as plain data."""
        return {"epoch": self.epoch, "position": self.position, "digest": self._digest()}

    def load_state_dict(self, state: dict[str, Any], allow_changes: bool = False) -> None:
        """Restore the position of a stream.

        Args:
            state: Result of `state_dict`. Without a digest, as in former versions, the batches are not compared.
            allow_changes: Whether batches that differ from those before the interruption give a warning, not an error.
        """
        self.epoch, self.position, self._iterator = int(state["epoch"]), int(state["position"]), None
        self._last, self._allow_changes = state.get("digest"), allow_changes
