"""ScopeStack: which frame is active, for every thread and asyncio task by itself."""

import inspect
import sys
import threading
from asyncio import _get_running_loop, current_task
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch

from elasticnas.axes.frames import Frame, Masked, Relaxed, Unmasked
from elasticnas.axes.quantity import Choice
from elasticnas.errors import AxisError

__all__ = ["Scope", "ScopeStack", "open_scopes", "reopen"]

_graph_task: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
"""The backward pass that the autograd engine is running on this thread; -1 for none."""

_SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_COROUTINE


Call = tuple[int, CodeType]
"""A call, by the identity of its frame: to hold the frame would keep alive what a closed generator held."""


class _Entry:
    """A frame on the stack of a thread.

    Attributes:
        frame: What it makes active.
        task: The asyncio task that opened it; None outside of tasks.
        backward: The backward pass in which it was opened; -1 for none.
        generators: Generators and coroutines that were running when it was opened, innermost first.
        suspended: Generators with scopes below this one that were suspended then.
        thread: The thread that opened it; None in a compiled graph.
        alone: Whether no other task has a scope on this stack.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.task: Any = None
        self.thread: threading.Thread | None = None
        self.backward = -1
        self.generators: tuple[Call, ...] = ()
        self.suspended: tuple[Call, ...] = ()
        self.alone = True


class _Local(threading.local):
    """The entries of one thread."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []


class _OpenInThread(threading.local):
    """The stacks on which a thread has a scope open, the latest last."""

    def __init__(self) -> None:
        self.stacks: list[ScopeStack] = []


class ScopeStack:
    """The open scopes of one Axes object.

    Each thread, and each asyncio task, has scopes of its own. Where one has none while another has, nothing is
    active: that is refused, as it would compute with sizes that nobody asked for.

    Args:
        name: Of the space, for messages.
        default: What is active where no scope is open at all.
    """

    def __init__(self, name: str, default: Callable[[], Frame]) -> None:
        self._name, self._make_default = name, default
        self._default: Frame | None = None
        self._local = _Local()
        self._everywhere: dict[int, _Entry] = {}  # open in any thread or task

    def frame(self) -> Frame:
        """What is active now; outside every scope, the largest architecture.

        Raises:
            AxisError: Another thread or task has a scope open and this one has none, a generator was resumed
                beneath the scope of another, or a backward pass runs after the scope may have closed.
        """
        entries = self._local.entries
        if torch.compiler.is_dynamo_compiling():  # only what a graph can be guarded by
            return entries[-1].frame if entries and entries[-1].alone else self._unclear(entries)
        entry = None
        if entries:
            entry = entries[-1]
            if not entry.alone or _get_running_loop() is not None:
                entry = self._own(entries)
        if (backward := _graph_task()) != -1 and (entry is None or entry.backward != backward):
            raise AxisError(
                f"an elastic module of {self._name} is run inside a backward pass, where the scope of its forward may "
                "have closed: checkpoint it by elasticnas.nn.checkpoint instead of torch.utils.checkpoint; in a hook "
                "of your own, open the scope inside the hook"
            )
        if entry is None:
            return self._outside()
        if entry.suspended:
            self._refuse_resumed(entry.suspended)
        return entry.frame

    def open(self, frame: Frame, result: Any = None) -> "Scope":
        """A context manager that makes a frame active, and gives ``result``."""
        return Scope(self, frame, result)

    def narrowed(self, choice: Choice, index: int) -> "Scope":
        """A scope in which one choice of an open mask scope is fixed to an option: its axes are sliced."""
        frame = self.frame()
        assert isinstance(frame, (Masked, Relaxed)), "a slice scope has nothing left to narrow"
        relaxed = frame if isinstance(frame, Relaxed) else frame.relaxed()
        return Scope(self, relaxed.narrowed(choice, index), inner=True)

    def unmasked(self) -> "Scope":
        """A scope in which masked axes are full, for what feeds candidates that are each sliced and mixed later."""
        frame = self.frame()
        return Scope(self, frame.caches.frames.get("unmasked", lambda: Unmasked(frame)), inner=True)

    def innermost(self) -> Frame | None:
        """The frame of this thread's or task's innermost scope; None where it has none."""
        entries = self._local.entries
        if torch.compiler.is_dynamo_compiling():
            return entries[-1].frame if entries else None
        entry = self._own(entries)
        return None if entry is None else entry.frame

    def _unclear(self, entries: list[_Entry]) -> Frame:
        if entries:
            raise AxisError(f"a compiled model of {self._name} is run while several asyncio tasks have a scope open")
        return self._outside()

    def _own(self, entries: list[_Entry]) -> _Entry | None:
        task = _running_task()
        return next((entry for entry in reversed(entries) if entry.task is task), None)

    def _outside(self) -> Frame:
        if self._everywhere and not torch.compiler.is_dynamo_compiling():
            ended = [
                key for key, entry in list(self._everywhere.items()) if entry.thread and not entry.thread.is_alive()
            ]
            for key in ended:
                self._everywhere.pop(key, None)
        if self._everywhere:
            raise AxisError(
                f"another thread or asyncio task has a scope of {self._name} open, and this one has none: open one "
                f"here too, axes.at({self._name}.largest()) for the whole network"
            )
        if self._default is None:
            self._default = self._make_default()
        return self._default

    def _refuse_resumed(self, suspended: "tuple[Call, ...]") -> None:
        for running in _callers():
            if _call(running) in suspended:
                raise AxisError(
                    f"the generator {running.f_code.co_name} has a scope of {self._name} open, and another that was "
                    "opened later, outside of it, is still open: close that first, or open scopes anew after a yield"
                )

    @property
    def entries(self) -> list[_Entry]:
        """What this thread has open, innermost last."""
        return self._local.entries

    def push(self, frame: Frame, inner: bool = False) -> tuple[_Entry, list[_Entry]]:
        """Put a frame on the stack of this thread; both are needed to take it off."""
        entry, entries = _Entry(frame), self._local.entries
        if not torch.compiler.is_dynamo_compiling():
            entry.task, entry.backward = _running_task(), _graph_task()
            entry.thread = threading.current_thread()
            entry.alone = all(other.task is entry.task for other in entries)
            if not inner:
                self._note_generators(entry, self._own(entries))
            _open.stacks.append(self)
            self._everywhere[id(entry)] = entry
        entries.append(entry)
        return entry, entries

    def _note_generators(self, entry: _Entry, below: _Entry | None) -> None:
        callers = [(_call(frame), _can_be_left(frame)) for frame in _callers()]
        entry.generators = tuple(call for call, can_be_left in callers if can_be_left)
        if below is not None:
            running = {call for call, _ in callers}
            idle = tuple(each for each in below.generators if each not in running)
            entry.suspended = tuple(dict.fromkeys((*below.suspended, *idle)))
            if entry.suspended:
                self._refuse_resumed(entry.suspended)

    def pop(self, entry: _Entry, entries: list[_Entry]) -> None:
        """Take an entry off its stack.

        Raises:
            AxisError: A scope that was opened later by the same thread or task is still open.
        """
        if entries[-1] is entry:
            entries.pop()
            later = False
        else:
            position = next(number for number, other in enumerate(entries) if other is entry)
            later = any(other.task is entry.task for other in entries[position + 1 :])
            del entries[position]
        if not torch.compiler.is_dynamo_compiling():
            self._everywhere.pop(id(entry), None)
            _forget(self)
            if not entry.alone:
                for other in entries:
                    other.alone = all(one.task is other.task for one in entries)
        if later:
            raise AxisError(
                f"a scope of {self._name} is closed while one that was opened later is still open: close scopes in the "
                "reverse order of opening, each generator its own before another opens one"
            )


class Scope:
    """Makes a frame active between ``__enter__`` and ``__exit__``; it may be entered again.

    Args:
        stack: Where it is put.
        frame: What is made active.
        result: What ``with ... as`` gives.
        inner: Whether a module opens it for a part of its own forward, so that no generator can be left meanwhile.
    """

    def __init__(self, stack: ScopeStack, frame: Frame, result: Any = None, inner: bool = False) -> None:
        self._stack, self._frame, self._result, self._inner = stack, frame, result, inner
        self._entered: list[tuple[_Entry, list[_Entry]]] = []

    def __enter__(self) -> Any:
        self._entered.append(self._stack.push(self._frame, self._inner))
        return self._result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.pop(*self._entered.pop(self._latest_here()))

    def _latest_here(self) -> int:
        """The position of what this thread entered last; another may be inside the same scope."""
        if len(self._entered) == 1 or torch.compiler.is_dynamo_compiling():
            return -1
        here = self._stack.entries
        return max((n for n, (_, entries) in enumerate(self._entered) if entries is here), default=-1)


def _running_task() -> Any:
    return None if _get_running_loop() is None else current_task()


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _call(frame: FrameType) -> Call:
    return id(frame), frame.f_code


def _can_be_left(frame: FrameType) -> bool:
    """Whether code runs that may be left in its middle and resumed."""
    return bool(frame.f_code.co_flags & _SUSPENDABLE) and frame.f_code.co_filename != __file__


_open = _OpenInThread()


def _forget(stack: ScopeStack) -> None:
    """Take the latest mention of a stack off the open ones of this thread; another thread may have opened it."""
    for position in range(len(_open.stacks) - 1, -1, -1):
        if _open.stacks[position] is stack:
            del _open.stacks[position]
            return


def open_scopes() -> list[tuple[ScopeStack, Frame]]:
    """The scopes open now, innermost of each Axes: what a function run later must see again."""
    found = [(stack, stack.innermost()) for stack in dict.fromkeys(_open.stacks)]
    return [(stack, frame) for stack, frame in found if frame is not None]


@contextmanager
def reopen(scopes: Sequence[tuple[ScopeStack, Frame]]) -> Iterator[None]:
    """Open captured scopes again, on whatever thread the backward pass of a checkpointed block runs."""
    with ExitStack() as stack:
        for scopes_of_axes, frame in scopes:
            stack.enter_context(scopes_of_axes.open(frame))
        yield
