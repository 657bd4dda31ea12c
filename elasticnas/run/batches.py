"""BatchStream: batches without end that can be taken up again where they stopped."""

from collections.abc import Iterator
from typing import Any

from elasticnas.errors import CheckpointError
from elasticnas.run.digest import Sample, digest, sample
from elasticnas.run.epoch import END, Batches, check_batches, one_epoch
from elasticnas.runtime import warn

__all__ = ["BatchStream"]


class BatchStream:
    """Batches epoch after epoch.

    What the source draws from the global generators of torch, numpy and Python, and from those of its loader and
    sampler, depends on the seed, the name and the epoch alone. Nobody else's draws change it, and it changes nobody
    else's.

    Args:
        source: A loader, a sequence of batches, or a function from the number of an epoch, counted from 0, to an
            iterable of its batches.
        name: For the seeds and for errors, such as "train".
        seed: Random seed.

    Raises:
        SearchError: The source is none of these, or an epoch has no batch.
        CheckpointError: The batches do not repeat those before the interruption.
    """

    def __init__(self, source: Batches, name: str, seed: int) -> None:
        check_batches(source, name)
        self._source, self._name, self._seed = source, name, seed
        self.epoch, self.position = 0, 0
        self._iterator: Iterator[Any] | None = None
        self._last: Sample | str | None = None  # of the last batch; its digest once that is needed
        self._believe = False

    def next(self) -> Any:
        """The next batch."""
        if self._iterator is None:
            self._iterator = self._taken_up()
        try:
            batch = next(self._iterator, END)
        except BaseException:
            self._iterator = None  # the next call takes the epoch up where it failed, instead of going on after it
            raise
        if batch is END:
            self.epoch, self.position, self._iterator = self.epoch + 1, 0, None
            return self.next()
        self.position, self._last = self.position + 1, sample(batch)
        return batch

    def _taken_up(self) -> Iterator[Any]:
        """The epoch from the position on; the batch before it must be the one that was seen."""
        batches = one_epoch(self._source, self._name, self._seed, self.epoch, max(self.position - 1, 0))
        if self.position > 0:
            seen, again = self._digest(), next(batches, END)
            if again is END or seen not in (None, digest(sample(again))):
                self._differs()
        return batches

    def _differs(self) -> None:
        where = f"{self._name}: batch {self.position - 1} of epoch {self.epoch}, both counted from 0,"
        text = f"{where} is not the one seen before the interruption"
        if not self._believe:
            rule = "batches must depend on the number of the epoch alone"
            raise CheckpointError(f'{text}; {rule}, or go on with other batches by Run(..., allow={{"batches"}})')
        warn(f"{text}; going on with other batches")

    def _digest(self) -> str | None:
        if isinstance(self._last, list):
            self._last = digest(self._last)
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as plain data."""
        return {"epoch": self.epoch, "position": self.position, "digest": self._digest()}

    def load_state_dict(self, state: dict[str, Any], believe: bool = False) -> None:
        """Go to where a stream was.

        Args:
            state: Of `state_dict`. Without a digest, as former versions wrote it, the batches are not compared.
            believe: Warn, instead of raising, where the batches are not those seen before.
        """
        self.epoch, self.position, self._iterator = state["epoch"], state["position"], None
        self._last, self._believe = state.get("digest"), believe
