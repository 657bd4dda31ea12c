"""CompiledStep: the step of a stream as machine code, without Python between the layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from easrec.stream_state import Branch, like, tensors_of
from elasticnas.errors import ConfigError

__all__ = ["CompiledStep", "compiled"]


class CompiledStep:
    """A step that is exported with the weights of its network, and compiled for the network's device.

    It is compiled at its first call with one user and at its first call with several, which takes seconds to a minute;
    the number of several may then change. Later changes of the weights have no effect on it. Other types of the
    tensors, another device, and autocast have programs of their own. While a program is compiled, no other thread may
    run a network, since torch replaces the calls of modules in the whole process; compiled programs run in any thread.

    Args:
        step: ``step(items, position, count, branches, *time)`` returns scores and new branches; all tensors have the
            users in their first dimension.
        network: The network whose weights it uses.
    """

    def __init__(self, step: Callable[..., tuple[Tensor, list[Branch]]], network: nn.Module) -> None:
        self._step, self._network = step, network
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(
        self, items: Tensor, position: Tensor, count: Tensor, branches: Sequence[Branch], *time: Tensor
    ) -> tuple[Tensor, list[Branch]]:
        """Return the scores and the new branches after one more event of every user."""
        several = len(items) > 1
        # the program relies on the strides of its example
        given = tuple(each.contiguous() for each in (items, position, count, *time, *tensors_of(branches)))
        # machine code reads tensors of other types as if they were those of its example
        kind = several, items.device, torch.is_autocast_enabled(items.device.type), *(each.dtype for each in given)
        if kind not in self._programs:
            self._programs[kind] = self._compiled(given, branches, len(time), several)
        scores, *after = self._programs[kind](*given)
        return scores, like(branches, after)

    def _compiled(
        self, given: tuple[Tensor, ...], branches: Sequence[Branch], times: int, several: bool
    ) -> Callable[..., Any]:
        users = Dim("users", min=2) if several else None
        shapes = (tuple(None if users is None else {0: users} for _ in given),)
        with torch.no_grad():
            return compiled(export(_Flat(self._step, self._network, branches, times), given, dynamic_shapes=shapes))


class _Flat(nn.Module):
    """The step as a module from tensors to tensors."""

    def __init__(
        self,
        step: Callable[..., tuple[Tensor, list[Branch]]],
        network: nn.Module,
        branches: Sequence[Branch],
        times: int,
    ) -> None:
        super().__init__()
        self.network = network
        self._step, self._branches, self._first = step, branches, 3 + times

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        items, position, count, *time = given[: self._first]
        scores, after = self._step(items, position, count, like(self._branches, given[self._first :]), *time)
        return scores, *tensors_of(after)


def compiled(program: ExportedProgram) -> Callable[..., Any]:
    """Return the program as machine code.

    Raises:
        ConfigError: There is no C++ compiler.
    """
    from torch._inductor import aoti_compile_and_package, aoti_load_package
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        loaded: Callable[..., Any] = aoti_load_package(aoti_compile_and_package(program))
    except InvalidCxxCompiler:
        raise ConfigError(
            "a compiled step of a stream needs a C++ compiler, and none works here: install g++ or name one by the "
            "environment variable CXX, or leave compiled=True out"
        ) from None
    return loaded
