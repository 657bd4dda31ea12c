"""Threads, asyncio tasks, generators and backward passes: each sees its own scopes, or an error."""

import asyncio
import contextlib
import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.axes import active_size
from elasticnas.errors import AxisError


class Sizes(Space):
    hidden: Literal[8, 6, 4]
    inner: Literal[5, 3]


SMALL, MIDDLE, LARGE = Sizes(hidden=4, inner=3), Sizes(hidden=6, inner=5), Sizes(hidden=8, inner=5)
ELSEWHERE = (
    r"another thread or asyncio task has a scope of Sizes open, and this one has none: open one here too, axes\.at"
)


class Block(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.up, self.down = enn.Linear(sizes.hidden, sizes.inner), enn.Linear(sizes.inner, sizes.hidden)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


def by_hand(block, arch, x):
    """The block of an architecture on slices that are written out."""
    d, inner = arch.hidden, arch.inner
    between = torch.tanh(F.linear(x, block.up.weight[:inner, :d], block.up.bias[:inner]))
    return F.linear(between, block.down.weight[:d, :inner], block.down.bias[:d])


def made():
    axes = Sizes.axes()
    torch.manual_seed(0)
    return axes, Block(axes).double()


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def in_thread(function):
    """What a function gives, or raises, on a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=60)


def active_outputs(module, width=8):
    """Outputs that are not 0: how many units the scope of a masked pass has."""
    return int((module(torch.ones(3, width, dtype=torch.float64)).abs().sum(0) > 0).sum())


@pytest.fixture
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def scope_of(axes, arch, form):
    if form == "relaxed":
        hidden = torch.tensor([float(arch.hidden == option) for option in (8, 6, 4)], dtype=torch.float64)
        inner = torch.tensor([float(arch.inner == option) for option in (5, 3)], dtype=torch.float64)
        return axes.relaxed({"hidden": hidden, "inner": inner})
    if form == "per sample":
        return axes.masked([arch, arch])
    return axes.at(arch) if form == "at" else axes.masked(arch)


@pytest.mark.parametrize("form", ["at", "masked", "per sample", "relaxed"])
@pytest.mark.parametrize("copied", [False, True], ids=["one model", "a copy in each thread"])
def test_threads_compute_at_their_own_sizes(switching_often, form, copied):
    axes, block = made()
    start, wrong = threading.Barrier(3), []

    def work(arch):
        model = copy.deepcopy(block) if copied else block
        x = normal(2, arch.hidden)
        expected = by_hand(block, arch, x)
        given = x if form == "at" else F.pad(x, (0, 8 - arch.hidden))
        start.wait(timeout=60)
        for _ in range(40):
            with scope_of(axes, arch, form), torch.no_grad():
                out = model(given)[:, : arch.hidden]
            if not torch.allclose(out, expected, rtol=1e-9, atol=1e-9):
                wrong.append(arch)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work, arch) for arch in (SMALL, MIDDLE, LARGE)]:
            done.result(timeout=60)
    assert not wrong


def test_training_while_a_copy_is_evaluated_elsewhere(switching_often):
    axes, block = made()
    average, stop, seen = copy.deepcopy(block), threading.Event(), []
    x = normal(2, 4)
    expected = by_hand(average, SMALL, x)

    def evaluate():
        while not stop.is_set():
            with axes.at(SMALL), torch.no_grad():
                seen.append(torch.allclose(average(x), expected))
        return len(seen)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(evaluate)
        wide = normal(2, 6)
        for _ in range(60):
            block.zero_grad()
            with axes.at(MIDDLE):
                block(wide).square().sum().backward()
        stop.set()
        assert done.result(timeout=60) and all(seen)
    gradient = block.up.weight.grad.clone()
    leaf = block.up.weight.detach().clone().requires_grad_()
    between = torch.tanh(F.linear(wide, leaf[:5, :6], block.up.bias[:5]))
    F.linear(between, block.down.weight[:6, :5], block.down.bias[:6]).square().sum().backward()
    torch.testing.assert_close(gradient, leaf.grad)


@pytest.mark.parametrize("form", ["at", "masked", "per sample", "relaxed"])
def test_a_thread_without_a_scope_is_refused_while_another_has_one(form):
    axes, block = made()
    with scope_of(axes, SMALL, form):
        with pytest.raises(AxisError, match=ELSEWHERE):
            in_thread(lambda: block(normal(2, 8)))
        with pytest.raises(AxisError, match=ELSEWHERE):
            in_thread(lambda: active_size(axes.hidden))
        with pytest.raises(AxisError, match=ELSEWHERE):
            in_thread(axes.current)
    torch.testing.assert_close(in_thread(lambda: block(normal(2, 8))), by_hand(block, LARGE, normal(2, 8)))


def test_what_needs_no_scope_works_beside_that_of_another_thread():
    axes, block = made()
    other = Sizes.axes()

    def work():
        again = copy.deepcopy(block)
        again.load_state_dict(block.state_dict())
        attention = enn.Attention(axes.hidden, 2, axes.inner)
        plain = extract(again, SMALL, normal(2, 4))
        return repr(again), len(list(attention.parameters())), plain(normal(2, 4)), active_size(other.hidden)

    with axes.masked(MIDDLE):
        printed, count, out, untouched = in_thread(work)
    assert "hidden" in printed and count == 8 and untouched == 8
    torch.testing.assert_close(out, by_hand(block, SMALL, normal(2, 4)))


def test_scopes_of_a_thread_end_with_its_exception():
    axes, block = made()

    def fails():
        with axes.at(SMALL), axes.masked(MIDDLE):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_thread(fails)
    assert active_size(axes.hidden) == 8
    assert block(normal(1, 8)).shape == (1, 8)


def test_one_scope_object_entered_on_two_threads():
    axes, _ = made()
    scope, entered, leave, seen = axes.at(SMALL), threading.Event(), threading.Event(), []

    def other():
        with scope:
            entered.set()
            leave.wait(timeout=60)
            seen.append(active_size(axes.hidden))

    with ThreadPoolExecutor(1) as pool:
        with scope:
            done = pool.submit(other)
            entered.wait(timeout=60)
        try:
            after = active_size(axes.hidden)
        except AxisError:
            after = None
        leave.set()
        done.result(timeout=60)
    assert after is None and seen == [4] and active_size(axes.hidden) == 8


def test_one_scope_object_may_be_entered_again_and_within_itself():
    axes, _ = made()
    scope = axes.at(SMALL)
    for _ in range(2):
        with scope, axes.at(MIDDLE), scope:
            assert active_size(axes.hidden) == 4
        assert active_size(axes.hidden) == 8


async def sized(axes, arch, seen):
    with axes.at(arch):
        for _ in range(3):
            seen.append(active_size(axes.hidden))
            await asyncio.sleep(0)


def test_asyncio_tasks_keep_their_own_sizes():
    axes, block = made()

    async def main():
        seen = {arch: [] for arch in (SMALL, MIDDLE, LARGE)}
        await asyncio.gather(*(sized(axes, arch, found) for arch, found in seen.items()))
        return seen

    assert asyncio.run(main()) == {SMALL: [4] * 3, MIDDLE: [6] * 3, LARGE: [8] * 3}
    assert block(normal(1, 8)).shape == (1, 8)


def test_tasks_may_close_their_scopes_in_any_order():
    axes, _ = made()

    async def held(arch, opened, leave, seen):
        with axes.masked(arch), axes.at(arch):
            opened.set()
            await leave.wait()
            seen.append(active_size(axes.hidden))

    async def main():
        opened, leave = [asyncio.Event() for _ in range(2)], [asyncio.Event() for _ in range(2)]
        seen = []
        tasks = [asyncio.create_task(held(arch, opened[i], leave[i], seen)) for i, arch in enumerate((SMALL, MIDDLE))]
        for event in opened:
            await event.wait()
        for event, task in zip(leave, tasks, strict=True):  # the first one opened is the first one closed
            event.set()
            await task
        return seen

    assert asyncio.run(main()) == [4, 6]
    assert active_size(axes.hidden) == 8


def test_a_task_does_not_see_the_scope_of_the_task_that_started_it():
    axes, block = made()

    async def child():
        return block(normal(2, 4))

    async def main(start):
        with axes.at(SMALL):
            direct = await child()  # the same task
            with pytest.raises(AxisError, match=ELSEWHERE):
                await start(child())
            with pytest.raises(AxisError, match=ELSEWHERE):
                await asyncio.to_thread(block, normal(2, 4))
            return direct

    for start in (asyncio.create_task, asyncio.gather, lambda coroutine: asyncio.create_task(coroutine)):
        torch.testing.assert_close(asyncio.run(main(start)), by_hand(block, SMALL, normal(2, 4)))


def test_a_callback_of_the_loop_has_no_scope():
    axes, _ = made()

    async def main():
        found = asyncio.get_running_loop().create_future()

        def callback():
            try:
                found.set_result(active_size(axes.hidden))
            except AxisError as error:
                found.set_exception(error)

        with axes.at(SMALL):
            asyncio.get_running_loop().call_soon(callback)
            return await found

    with pytest.raises(AxisError, match=ELSEWHERE):
        asyncio.run(main())


def test_async_generators_keep_to_the_task_that_runs_them():
    axes, _ = made()

    async def sizes(arch):
        with axes.at(arch):
            yield active_size(axes.hidden)
            await asyncio.sleep(0)
            yield active_size(axes.hidden)

    async def collected(arch):
        return [size async for size in sizes(arch)]

    async def main():
        return await asyncio.gather(collected(SMALL), collected(MIDDLE))

    assert asyncio.run(main()) == [[4, 4], [6, 6]]


OUT_OF_ORDER = "is closed while one that was opened later is still open: close scopes in the reverse order of opening"
BENEATH = "and another that was opened later, outside of it, is still open: close that first, or open a new scope"


def direct(axes, arch):
    with axes.at(arch):
        yield active_size(axes.hidden)
        yield active_size(axes.hidden)


def through_a_context_manager(axes, arch):
    @contextlib.contextmanager
    def opened():
        with axes.at(arch):
            yield

    with opened():
        yield active_size(axes.hidden)
        yield active_size(axes.hidden)


def through_an_exit_stack(axes, arch):
    with contextlib.ExitStack() as stack:
        stack.enter_context(axes.at(arch))
        yield active_size(axes.hidden)
        yield active_size(axes.hidden)


def delegating(axes, arch):
    yield from direct(axes, arch)


def over_another(axes, arch):
    def opened():
        with axes.at(arch):
            yield 0
            yield 1

    for _ in opened():
        yield active_size(axes.hidden)


def expression(axes, arch):
    def opened():
        with axes.at(arch):
            yield 0
            yield 1

    return (active_size(axes.hidden) for _ in opened())


class Iterates:
    """A scope that a generator's method opens."""

    def __init__(self, axes, arch):
        self.axes, self.arch = axes, arch

    def __iter__(self):
        with self.axes.at(self.arch):
            yield active_size(self.axes.hidden)
            yield active_size(self.axes.hidden)


def iterator(axes, arch):
    return iter(Iterates(axes, arch))


class DrivenByHand:
    """A coroutine outside of asyncio, as other event loops drive theirs."""

    def __init__(self, axes, arch):
        self.seen = []
        self.coroutine = self.run(axes, arch)

    async def run(self, axes, arch):
        with axes.at(arch):
            self.seen.append(active_size(axes.hidden))
            await Pause()
            self.seen.append(active_size(axes.hidden))
            await Pause()

    def __next__(self):
        self.coroutine.send(None)
        return self.seen.pop()

    def close(self):
        self.coroutine.close()


class Pause:
    def __await__(self):
        yield


def missed(reason):
    return pytest.mark.xfail(strict=True, reason=reason)


@pytest.mark.parametrize(
    "form",
    [
        direct,
        through_an_exit_stack,
        delegating,
        iterator,
        expression,
        through_a_context_manager,
        over_another,
        DrivenByHand,
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_generator_resumed_beneath_the_scope_of_another_is_refused(form):
    axes, _ = made()
    first, second = form(axes, SMALL), form(axes, MIDDLE)
    assert (next(first), next(second)) == (4, 6)
    try:
        with pytest.raises(AxisError, match=f"{BENEATH}|{OUT_OF_ORDER}"):
            next(first)
    finally:
        for generator in (second, first):
            with contextlib.suppress(AxisError):
                generator.close()
    assert active_size(axes.hidden) == 8


@pytest.mark.parametrize("form", [direct, through_an_exit_stack, delegating, iterator, through_a_context_manager])
def test_generators_that_are_nested_see_their_own(form):
    axes, _ = made()
    seen = []
    for outer in form(axes, SMALL):
        seen.append(outer)
        seen.extend(form(axes, MIDDLE))
    assert seen == [4, 6, 6, 4, 6, 6]
    assert active_size(axes.hidden) == 8


def test_the_body_of_a_context_manager_sees_the_scope_it_opens():
    axes, block = made()

    @contextlib.contextmanager
    def evaluation(arch):
        with axes.at(arch), torch.no_grad():
            yield block

    with evaluation(SMALL) as one:
        with evaluation(MIDDLE) as two:
            torch.testing.assert_close(two(normal(2, 6)), by_hand(block, MIDDLE, normal(2, 6)))
        torch.testing.assert_close(one(normal(2, 4)), by_hand(block, SMALL, normal(2, 4)))


def test_a_generator_closed_out_of_order_raises_and_leaves_the_other_scope():
    axes, _ = made()
    first, second = direct(axes, SMALL), direct(axes, MIDDLE)
    assert (next(first), next(second)) == (4, 6)
    with pytest.raises(AxisError, match=OUT_OF_ORDER):
        first.close()
    assert next(second) == 6
    second.close()
    assert active_size(axes.hidden) == 8


def test_scopes_closed_by_hand_in_the_wrong_order():
    axes, _ = made()
    one, two = axes.at(SMALL), axes.masked(MIDDLE)
    one.__enter__()
    two.__enter__()
    with pytest.raises(AxisError, match=OUT_OF_ORDER):
        one.__exit__(None, None, None)
    two.__exit__(None, None, None)
    assert active_size(axes.hidden) == 8


def test_scopes_of_two_models_may_be_closed_in_any_order():
    one, two = Sizes.axes(), Sizes.axes()
    first, second = one.at(SMALL), two.at(MIDDLE)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (active_size(one.hidden), active_size(two.hidden)) == (8, 6)
    second.__exit__(None, None, None)


def test_an_abandoned_generator_takes_its_scope_along():
    axes, _ = made()
    generator = direct(axes, SMALL)
    assert next(generator) == 4
    del generator
    assert active_size(axes.hidden) == 8


def gradients(block):
    return [parameter.grad.clone() for parameter in block.parameters()]


def checkpointed(block, x):
    return enn.checkpoint(block.down, torch.tanh(enn.checkpoint(block.up, x))).square().sum()


@pytest.mark.parametrize("form", ["at", "masked", "per sample", "relaxed"])
@pytest.mark.parametrize("beside", ["nothing", "another scope here", "another scope there"])
def test_a_checkpointed_backward_on_a_second_thread(form, beside):
    axes, block = made()
    x = normal(2, 4)
    by_hand(block, SMALL, x).square().sum().backward()
    right = gradients(block)
    block.zero_grad()
    with scope_of(axes, SMALL, form):
        loss = checkpointed(block, x if form == "at" else F.pad(x, (0, 4)))

    def backward():
        with axes.at(MIDDLE) if beside == "another scope there" else contextlib.nullcontext():
            loss.backward()

    with axes.masked(MIDDLE) if beside == "another scope here" else contextlib.nullcontext():
        in_thread(backward)
    for found, expected in zip(gradients(block), right, strict=True):
        torch.testing.assert_close(found, expected)
    assert active_size(axes.hidden) == 8


def test_probabilities_get_gradients_through_a_checkpoint_on_a_second_thread():
    axes, block = made()
    x, found = normal(3, 8), []
    for run in (lambda: checkpointed(block, x), lambda: block(x).square().sum()):
        p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
        with axes.relaxed({"hidden": p}):
            loss = run()
        in_thread(loss.backward)
        found.append(p.grad)
    torch.testing.assert_close(*found)
    # by hand: the mask of hidden on the output of the block; its input is full and only loses dead units
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
    m = p @ torch.tensor([[1.0] * 8, [1.0] * 6 + [0.0] * 2, [1.0] * 4 + [0.0] * 4], dtype=torch.float64)
    (by_hand(block, LARGE, x) * m).square().sum().backward()
    torch.testing.assert_close(found[0], p.grad)


def test_torchs_own_checkpoint_is_refused_on_a_second_thread_too():
    axes, block = made()
    with axes.at(SMALL):
        out = torch.utils.checkpoint.checkpoint(block, normal(2, 4), use_reentrant=False)
    with pytest.raises(AxisError, match=r"checkpoint it with elasticnas\.nn\.checkpoint"):
        in_thread(out.sum().backward)
    with axes.at(SMALL):  # a scope that happens to be open is not that of the forward
        out = torch.utils.checkpoint.checkpoint(block, normal(2, 4), use_reentrant=False)
        with pytest.raises(AxisError, match="open the scope inside the hook"):
            out.sum().backward()


def test_a_hook_of_ones_own_opens_its_scope_inside():
    axes, block = made()
    x, seen = normal(2, 8).requires_grad_(), []

    def hook(gradient):
        with axes.at(SMALL), torch.no_grad():
            seen.append(block(normal(2, 4)))

    x.register_hook(hook)
    with axes.masked(MIDDLE):
        loss = block(x).sum()
        loss.backward()
    torch.testing.assert_close(seen[0], by_hand(block, SMALL, normal(2, 4)))


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
class TestCompiled:
    def test_one_graph_serves_all_threads_at_their_own_sizes(self):
        axes, block = made()
        counted = CompileCounterWithBackend("eager")
        compiled = torch.compile(block, backend=counted, fullgraph=True)

        def there():
            with axes.masked(MIDDLE):
                return active_outputs(compiled)

        with axes.masked(SMALL):
            assert (active_outputs(compiled), in_thread(there)) == (4, 6)
        with axes.masked(LARGE):
            assert active_outputs(compiled) == 8
        assert in_thread(there) == 6 and counted.frame_count == 1

    def test_one_graph_serves_every_pass_in_one_scope(self):
        axes, block = made()
        counted = CompileCounterWithBackend("eager")
        compiled = torch.compile(block, backend=counted, fullgraph=True)
        with axes.masked(SMALL):
            assert [active_outputs(compiled) for _ in range(3)] == [4, 4, 4]
        assert counted.frame_count == 1

    def test_a_thread_without_a_scope_is_refused(self):
        axes, block = made()
        compiled = torch.compile(block.down, backend="eager")
        assert active_outputs(compiled, 5) == in_thread(lambda: active_outputs(compiled, 5)) == 8
        for scope in (axes.masked(SMALL), axes.at(SMALL)):
            with scope, pytest.raises(AxisError, match=ELSEWHERE):
                in_thread(lambda: active_outputs(compiled, 5))
        assert in_thread(lambda: active_outputs(compiled, 5)) == 8

    def test_tasks_that_take_turns_see_their_own_sizes_or_are_refused(self):
        axes, block = made()
        compiled = torch.compile(block.down, backend="eager")

        async def turns(arch):
            seen = []
            with axes.masked(arch):
                for _ in range(2):
                    await asyncio.sleep(0)
                    try:
                        seen.append(active_outputs(compiled, 5))
                    except AxisError as error:
                        assert "several asyncio tasks have a scope open" in str(error)
            return seen

        async def main():
            return await asyncio.gather(turns(SMALL), turns(MIDDLE))

        small, middle = asyncio.run(main())
        assert set(small) <= {4} and set(middle) <= {6}

    @missed("compiled, the scope of whichever task has one open is taken")
    def test_a_task_without_a_scope_is_refused(self):
        axes, block = made()
        compiled = torch.compile(block.down, backend="eager")

        async def opens():
            with axes.masked(SMALL):
                assert active_outputs(compiled, 5) == 4
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        async def uses():
            with pytest.raises(AxisError):
                active_outputs(compiled, 5)

        async def main():
            await asyncio.gather(opens(), uses())

        asyncio.run(main())

    @missed("compiled, nobody asks which generator runs")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_generator_beneath_the_scope_of_another_is_refused(self):
        axes, block = made()
        compiled = torch.compile(block.down, backend="eager")

        def outputs(arch):
            with axes.masked(arch):
                yield active_outputs(compiled, 5)
                yield active_outputs(compiled, 5)

        first, second = outputs(SMALL), outputs(MIDDLE)
        assert (next(first), next(second)) == (4, 6)
        try:
            with pytest.raises(AxisError):
                next(first)
        finally:
            for generator in (second, first):
                generator.close()

    def test_checkpointed_and_its_backward_on_a_second_thread(self):
        axes, block = made()
        x = F.pad(normal(2, 4), (0, 4))
        by_hand(block, SMALL, x[:, :4]).square().sum().backward()
        right = gradients(block)
        block.zero_grad()
        compiled = torch.compile(block, backend="aot_eager")
        with axes.masked(SMALL):
            loss = enn.checkpoint(compiled, x).square().sum()
        in_thread(loss.backward)
        for found, expected in zip(gradients(block), right, strict=True):
            torch.testing.assert_close(found, expected)
