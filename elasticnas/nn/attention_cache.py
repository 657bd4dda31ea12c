"""AttentionCache: the keys, values and times from which an attention computes the next position."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.optional_bias import AnyBias, OptionalBias

__all__ = ["AttentionCache", "extended", "require_times", "started"]


class AttentionCache(NamedTuple):
    """The state of a causal attention over scores, of ``length`` positions.

    Attributes:
        keys: ``(B, g, 1, length, k)``.
        values: ``(B, g, 1, length, k)``.
        times: ``(B, length)`` int64; zeros without a bias by time.
        seen: ``(B, length)`` bool, the positions to attend to.
        position: ``(B,)`` int64, the next position.
    """

    keys: Tensor
    values: Tensor
    times: Tensor
    seen: Tensor
    position: Tensor


def started(key: Tensor, value: Tensor, padding: Tensor | None, times: Tensor | None, length: int) -> AttentionCache:
    """Return the state after whole sequences; the next position of each is the one after its last that is not padded.

    Args:
        key: ``(B, g, 1, N, k)``.
        value: ``(B, g, 1, N, k)``.
        padding: ``(B, N)`` bool, True where padded.
        times: ``(B, N)`` integers.
        length: Positions of the state, at least N.

    Raises:
        AxisError: The sequences are longer.
    """
    batch, count = key.shape[0], key.shape[-2]
    if count > length:
        raise AxisError(f"a state of {length} positions cannot hold sequences of {count}: give a larger length")
    free = length - count
    seen = torch.ones(batch, count, dtype=torch.bool, device=key.device) if padding is None else ~padding
    after = torch.arange(1, count + 1, device=key.device)
    if times is None:
        times = torch.zeros(batch, count, dtype=torch.long, device=key.device)
    return AttentionCache(
        F.pad(key, (0, 0, 0, free)),
        F.pad(value, (0, 0, 0, free)),
        F.pad(times, (0, free)),
        F.pad(seen, (0, free)),
        (seen * after).amax(1),
    )


def extended(state: AttentionCache, key: Tensor, value: Tensor, time: Tensor | None) -> AttentionCache:
    """Return the state with one more position, ``(B, g, 1, 1, k)`` and its time ``(B,)``.

    Raises:
        AxisError: A sequence has as many positions as the state (not checked in a compiled graph, where the last is
            replaced).
    """
    length = state.seen.shape[1]
    if not torch.compiler.is_compiling() and bool((state.position >= length).any()):
        raise AxisError(f"the state holds {length} positions, and a sequence has all of them: begin a new state")
    here = torch.arange(length, device=state.position.device) == state.position.clamp_max(length - 1)[:, None]
    wide = here[:, None, None, :, None]
    return AttentionCache(
        torch.where(wide, key, state.keys),
        torch.where(wide, value, state.values),
        state.times if time is None else torch.where(here, time[:, None], state.times),
        state.seen | here,
        state.position + 1,
    )


def require_times(relative: AnyBias | None, times: Tensor | None) -> None:
    """Check that times are given exactly if an attention has a bias by time; an unused optional one ignores them.

    Raises:
        ConfigError: They are not.
    """
    if isinstance(relative, OptionalBias):
        if not relative.uses_times:
            return  # ignored, as in the forward pass
        relative = relative.bias
    needed = relative is not None and relative.times is not None
    if needed != (times is not None):
        raise ConfigError(
            "the attention has a bias by time: give the times"
            if needed
            else "the attention has no bias by time, but times are given: give it relative, or no times"
        )
