"""Streaming recommendations: a causal network, updated event by event from what it remembers."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.artifact import Recommender
from easrec.compiled_step import CompiledStep
from easrec.embedded import Embedded
from easrec.layer import Layer, State, chosen
from easrec.model import EASRecModel
from easrec.next_events import require_histories, require_next_events
from easrec.stream_state import Branch, Stream
from easrec.times import require_seconds, setting_of_times
from easrec.wide_layer import WideLayer
from elasticnas.errors import ConfigError, DataError

__all__ = ["Live", "Stream", "Streamer"]


class Streamer:
    """Updates a plain network event by event, without computing earlier events again.

    With LinRec, the cost of an event does not depend on the length of the history; with softmax and pointwise attention
    it is linear in N, as is the state, which holds keys and values.

    Up to N events of a user, the scores equal those of the network on all of them. The network has N learned positions,
    so a recurrence cannot continue beyond N: the state is then recomputed from the user's last ``keep`` events, and
    later scores are those of the network on these and all newer events. With ``keep`` = N/2 the scores are based on
    N/2 to N events, and the state is recomputed once every N/2 events.

    Args:
        network: A plain causal network; with a bias by time, ``own``.
        keep: Number of events from which the state is recomputed, 1..N-1; None for N/2.
        compiled: Whether to compile the step, see :class:`~easrec.compiled_step.CompiledStep`: most of its time is
            Python's. Compiling needs a C++ compiler and takes up to a minute, once for one user and once for several.

    Raises:
        ConfigError: The network is not causal or uses the times of targets, or ``keep`` is out of range.
    """

    def __init__(self, network: EASRecModel, keep: int | None = None, compiled: bool = False) -> None:
        length = network.config_length
        keep = max(1, length // 2) if keep is None else keep
        if not 1 <= keep < max(2, length):
            raise ConfigError(f"keep={keep}: the number of events to restart from must be 1 to {max(1, length - 1)}")
        self.network, self.length, self.keep = network.eval(), length, keep
        if network.time_bias == "target":
            raise ConfigError(
                "streaming cannot continue a network with model.time_bias=target, where every event changes what the "
                "one before it computed: recommend from whole histories, or train with model.time_bias=own"
            )
        self.timed = network.time_bias == "own"
        self._setting = setting_of_times(network.declared_times, network.time_bias)
        self._catalogue = len(network.items.weight) - 1
        self._stacks = [stack for stack in (network.layers, network.feature_layers) if stack is not None]
        if not network.causal:
            raise ConfigError(
                "streaming needs a causal network, and this one is bidirectional: train with train.form=causal, or "
                "recommend from whole histories"
            )
        self._next = CompiledStep(self._after, network) if compiled else self._after

    @torch.no_grad()
    def start(
        self, histories: Sequence[Sequence[int]], times: Sequence[Sequence[int]] | None = None
    ) -> tuple[Stream, Tensor]:
        """Compute state and scores after the last N events of each history, which needs at least one.

        Args:
            histories: Item numbers of every user, in time order.
            times: Seconds of these events, if the network uses them.

        Returns:
            The state, and ``(B, V + 1)`` scores of the next item.

        Raises:
            DataError: A history is empty, an item number is not 1..V, or times are missing, not used, not one for each
                event, or no seconds.
        """
        self._require_times(times)
        require_histories(histories, times, self._catalogue)
        device = self.network.items.weight.device
        ids, recent = (each.to(device) for each in self._padded(histories))
        if times is None:
            return self._started(ids, recent.int())
        when, newest = (each.to(device) for each in self._padded(times))
        return self._started(ids, recent.int(), when, newest)

    def _padded(self, lists: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return the last N entries, right padded with 0, and the last ``keep`` entries, left padded, int64."""
        last = [list(each[-self.length :]) for each in lists]
        right = torch.zeros(len(last), max(map(len, last)), dtype=torch.long)
        left = torch.zeros(len(last), self.keep, dtype=torch.long)
        for row, entries in enumerate(last):
            right[row, : len(entries)] = torch.tensor(entries)
            newest = entries[-self.keep :]
            left[row, self.keep - len(newest) :] = torch.tensor(newest)
        return right, left

    def _require_times(self, times: object) -> None:
        if (times is not None) != self.timed:
            raise DataError(
                "the network uses the times of events (model.time_bias=own): give them"
                if self.timed
                else f"times are given, but the network uses none ({self._setting}): leave them out"
            )

    @torch.no_grad()
    def update(self, stream: Stream, items: Tensor, times: Tensor | None = None) -> Tensor:
        """Add one event of every user to the state, in place; recompute the state of users who have N events already.

        Args:
            stream: State of B users.
            items: ``(B,)`` int64 item numbers.
            times: ``(B,)`` int64 seconds of the events, if the network uses them.

        Returns:
            ``(B, V + 1)`` scores of the next item.

        Raises:
            DataError: An item number is not 1..V, times are missing, not used or no seconds, or a tensor has another
                shape or no integers. The state is as before.
        """
        self._require_times(times)
        require_next_events(items, times, len(stream.seen), self._catalogue)
        items, times = items.long(), None if times is None else times.long()
        recent = _moved(stream.recent, items)
        newest = None if times is None or stream.times is None else _moved(stream.times, times)
        full = stream.seen >= self.length
        if bool(full.all()):
            fresh, scores = self._restarted(recent, newest)
            stream.branches, stream.seen, stream.recent, stream.times = fresh.branches, fresh.seen, recent, newest
            return scores
        scores = self._step(stream, items, times)
        # after the step, whose compilation may fail or be interrupted
        stream.recent, stream.times = recent, newest
        if bool(full.any()):
            fresh, of_full = self._restarted(recent[full], None if newest is None else newest[full])
            scores[full] = of_full
            _put(stream, full, fresh)
        return scores

    def _restarted(self, recent: Tensor, times: Tensor | None) -> tuple[Stream, Tensor]:
        return self._started(recent.long(), recent, times, times)

    def _started(
        self, ids: Tensor, recent: Tensor, times: Tensor | None = None, newest: Tensor | None = None
    ) -> tuple[Stream, Tensor]:
        """Compute state and scores from right padded ids ``(B, n)``, and their times."""
        when = () if times is None else (times, times)
        lengths = (ids > 0).sum(1)
        row, padding = lengths - 1, ids == 0
        raw = self._raw(ids, torch.arange(ids.shape[1], device=ids.device))
        real = (~padding).unsqueeze(-1).to(raw[0][0]) if self.network.pooled else None
        branches, ends = [], []
        for number, (x, norm) in enumerate(raw):
            embedded = Embedded(lambda width, x=x: x, norm, nn.Identity(), real, True, when)  # type: ignore[misc]
            y, states = x, []
            layers = self._layers(number)
            for each in layers:
                states.append(each.remember(y, embedded, padding, self.length))
                y = each(y, embedded, None, row if each is layers[-1] else None)
            total = None if real is None else (embedded.sequence(x.shape[-1]) * real).sum(1, keepdim=True)
            branches.append(Branch(states, total))
            ends.append(self._normed(number, y))
        return Stream(branches, lengths, recent, newest), self._scores(ends)

    def _step(self, stream: Stream, items: Tensor, times: Tensor | None) -> Tensor:
        # users with N events have no position left; update() replaces their result
        position, count = stream.seen.clamp_max(self.length - 1), stream.seen + 1
        branches = [Branch([_at(position, each) for each in branch.layers], branch.total) for branch in stream.branches]
        scores: Tensor
        time = () if times is None else (times,)
        scores, stream.branches = self._next(items[:, None], position[:, None], count, branches, *time)
        stream.seen = count
        return scores

    def _after(
        self, items: Tensor, position: Tensor, count: Tensor, branches: list[Branch], *time: Tensor
    ) -> tuple[Tensor, list[Branch]]:
        """Return scores and new branches after one more event; ``items`` and ``position`` (B, 1), the others (B,)."""
        ends, after = [], []
        for number, (x, norm) in enumerate(self._raw(items, position)):
            branch = branches[number]
            embedded = x if norm is None else norm(x)
            total = None if branch.total is None else branch.total + embedded
            perceived = embedded if total is None else total / count[:, None, None]
            y, states = x, []
            for each, state in zip(self._layers(number), branch.layers, strict=True):
                y, state = each.step(y, embedded, perceived, state, *time)
                states.append(state)
            after.append(Branch(states, total))
            ends.append(self._normed(number, y))
        return self._scores(ends), after

    def _raw(self, ids: Tensor, positions: Tensor) -> list[tuple[Tensor, nn.Module | None]]:
        """Return the input of every stack, ``(B, n, hidden)``, with its norm."""
        network = self.network
        items, where = network.items(ids), network.positions[positions]
        if network.features is None:
            return [(items + where, network.norm)]
        features = network.features(ids)
        if network.feature_layers is None:
            assert network.fuse is not None
            return [(network.fuse(items, features) + where, network.norm)]
        return [(items + where, network.norm), (features + where, network.feature_norm)]

    def _normed(self, stack: int, y: Tensor) -> Tensor:
        norm = (self.network.last_norm, self.network.feature_last_norm)[stack]
        return y if norm is None else norm(y)

    def _layers(self, stack: int) -> "list[Layer | WideLayer]":
        return [chosen(each) for each in self._stacks[stack].active()]

    def _scores(self, ends: list[Tensor]) -> Tensor:
        fuse: Any = self.network.fuse
        y = ends[0] if len(ends) == 1 else fuse(*ends)
        return self.network.scores(y.squeeze(1))


class Live:
    """Recommendations after single events of many users, with one state per user.

    Memory is bounded: beyond ``most_users`` states, that of the least recently active user is dropped. If the user
    returns, the state starts again from ``history``, without the events that were streamed before.

    Args:
        recommender: A recommender with a causal network.
        history: Returns the known items of a user, by their original ids, in time order; empty for an unknown user.
        times: Returns their times in seconds, if the network uses them.
        compiled: Whether to compile the step, see :class:`Streamer`.
        most_users: Maximum number of states.

    Raises:
        ConfigError: The network is not causal or uses the times of targets, it uses times and there are none of
            histories, or ``most_users`` is below 1.
    """

    def __init__(
        self,
        recommender: Recommender,
        history: Callable[[str], Sequence[str]],
        compiled: bool = False,
        most_users: int = 10_000,
        times: Callable[[str], Sequence[int]] | None = None,
    ) -> None:
        if most_users < 1:
            raise ConfigError(f"most_users={most_users}: at least one state is needed")
        self._most_users = most_users
        self._recommender, self._streamer = recommender, Streamer(recommender.network, compiled=compiled)
        if self._streamer.timed and times is None:
            raise ConfigError("the network uses the times of events (model.time_bias=own): give times of histories")
        self._history, self._times = history, times
        self._streams: OrderedDict[str, tuple[Stream, set[int]]] = OrderedDict()

    @property
    def timed(self) -> bool:
        """Whether events need times."""
        return self._streamer.timed

    @property
    def users(self) -> int:
        """Number of states in memory."""
        return len(self._streams)

    def event(
        self,
        user: str,
        item: str,
        top: int,
        repeats: bool = False,
        only: Collection[int] | None = None,
        time: int | None = None,
    ) -> list[tuple[str, float]]:
        """Return recommendations for a user after one more event: original ids and scores, best first.

        Args:
            user: Id of the user.
            item: Original id of the item.
            top: Number of items.
            repeats: Whether to include items of the user's history.
            only: Numbers of the items that may be recommended; None for all.
            time: Seconds of the event, if the network uses them.

        Raises:
            DataError: The model does not know the item, or the time is missing, not used, or not in seconds.
        """
        number = self._recommender.numbers([item])[0]
        require_seconds([] if time is None else [time])
        if user in self._streams:
            stream, seen = self._streams[user]
            device = stream.seen.device
            when = None if time is None else torch.tensor([time], device=device)
            scores = self._streamer.update(stream, torch.tensor([number], device=device), when)
        else:
            history = self._recommender.numbers([*self._history(user), item])
            known = () if self._times is None else self._times(user)
            stream, scores = self._streamer.start([history], None if time is None else [[*known, time]])
            seen = set(history)
            self._streams[user] = stream, seen
        seen.add(number)
        self._streams.move_to_end(user)
        if len(self._streams) > self._most_users:
            self._streams.popitem(last=False)
        return self._recommender.best(scores[0], top, () if repeats else seen, only)


def _moved(newest: Tensor, entries: Tensor) -> Tensor:
    """Return the newest entries ``(B, keep)`` with one more at the end, without the first."""
    return torch.cat([newest[:, 1:], entries[:, None].to(newest)], 1)


def _at(position: Tensor, state: State) -> State:
    """Return the state with its next position."""
    return state._replace(position=position) if isinstance(state, enn.AttentionCache) else state


def _put(stream: Stream, rows: Tensor, fresh: Stream) -> None:
    """Replace the state of some users."""

    def replaced(old: Tensor, new: Tensor) -> Tensor:
        old = old.clone()
        old[rows] = new
        return old

    stream.seen = replaced(stream.seen, fresh.seen)
    for branch, other in zip(stream.branches, fresh.branches, strict=True):
        if branch.total is not None and other.total is not None:
            branch.total = replaced(branch.total, other.total)
        pairs = zip(branch.layers, other.layers, strict=True)
        branch.layers = [type(old)(*map(replaced, old, new)) if old else old for old, new in pairs]
