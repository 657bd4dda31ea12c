"""A second device without hardware: tensors of the device ``toy`` compute on the CPU, and refuse what a GPU refuses.

A tensor of the CPU beside one of the device is an error, except for single numbers and indices, and so is a random
generator of the CPU. Every wait for the device (``item()``, ``bool(tensor)``, ``nonzero()``, a copy to the CPU) is
counted, with the line of the library that asked for it. Optionally the device has no float64, like MPS.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

__all__ = ["DEVICE", "Toy", "on_device"]

_WAITS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_unique2", "masked_select"}
_TAKES_INDICES_OF_THE_CPU = {"index", "index_put", "index_put_", "_unsafe_index"}


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def synchronize(self, device: Any = None) -> None:
        pass

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


_setup_privateuseone_for_python_backend("toy", backend_module=_Backend())
DEVICE = torch.device("toy:0")
_watch: dict[str, Any] = {"waits": Counter(), "doubles": True}


class Toy(torch.Tensor):
    """A tensor of the device, around one of the CPU."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> "Toy":
        if raw.dtype == torch.float64 and not _watch["doubles"]:
            raise TypeError("the device has no float64")
        made = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype, device=DEVICE
        )
        made.raw = raw
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"Toy({self.raw})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _loaded, (self.raw.detach(), self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _loaded(raw: torch.Tensor, grad: bool) -> torch.Tensor:
    return Toy(raw).requires_grad_(grad)


torch.serialization.add_safe_globals([_loaded])


def _is_toy(device: Any) -> bool:
    return device is not None and torch.device(device).type == "toy"


def _raw(x: Any) -> Any:
    return x.raw if isinstance(x, Toy) else x


def _count_wait() -> None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if ("/elasticnas/" in name or "/easrec/" in name) and "/tests/" not in name:
            break
        frame = frame.f_back
    where = "outside" if frame is None else f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}, line {frame.f_lineno}"
    _watch["waits"][where] += 1


def _compute(func: Any, args: Any, kwargs: Any) -> Any:
    name = func.overloadpacket.__name__
    flat, _ = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    if name == "_to_copy":
        return _copied(func, args, dict(kwargs))
    if name == "copy_":
        _raw(args[0]).copy_(_raw(args[1]))
        return args[0]
    if name in _WAITS:
        _count_wait()
    _refuse_mixed(func, name, tensors, flat)
    target = kwargs.get("device")
    if _is_toy(target):
        kwargs = {**kwargs, "device": "cpu"}
    out = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
    given = {id(_raw(t)): t for t in tensors if isinstance(t, Toy)}  # in place: the tensor that was given
    stays = target is not None and not _is_toy(target)
    return tree_map(lambda x: _wrapped(x, given) if isinstance(x, torch.Tensor) and not stays else x, out)


def _wrapped(x: torch.Tensor, given: dict[int, torch.Tensor]) -> torch.Tensor:
    return given[id(x)] if id(x) in given else Toy(x)


def _copied(func: Any, args: Any, kwargs: Any) -> Any:
    target = kwargs.pop("device", None)
    stays = isinstance(args[0], Toy) if target is None else _is_toy(target)
    out = func(_raw(args[0]), **kwargs, **({} if target is None else {"device": "cpu"}))
    if isinstance(args[0], Toy) and not stays:
        _count_wait()
    return Toy(out) if stays else out


def _refuse_mixed(func: Any, name: str, tensors: list[torch.Tensor], flat: list[Any]) -> None:
    if not any(isinstance(t, Toy) for t in tensors):
        return
    other = [tuple(t.shape) for t in tensors if not isinstance(t, Toy) and t.dim() > 0]
    if other and name not in _TAKES_INDICES_OF_THE_CPU:
        raise RuntimeError(f"{func}: expected all tensors on one device, found toy and cpu of shape {other[0]}")
    if any(isinstance(x, torch.Generator) and x.device.type == "cpu" for x in flat):
        raise RuntimeError(f"{func}: expected a generator of the device toy, found one of the cpu")


class _Factories(TorchFunctionMode):
    """Makes tensors of the device, as ``torch.zeros(3, device="toy")`` does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.tolist and isinstance(args[0], Toy):
            _count_wait()
            return args[0].raw.tolist()
        makes = isinstance(func, type(torch.zeros)) and not any(isinstance(x, torch.Tensor) for x in args)
        if not (makes and _is_toy(kwargs.get("device"))):
            return func(*args, **kwargs)
        _refuse_generators(func, kwargs)
        device, grad = kwargs.pop("device"), kwargs.pop("requires_grad", False)
        return func(*args, **kwargs, device="cpu").to(device).requires_grad_(grad)


def _refuse_generators(func: Any, kwargs: dict[str, Any]) -> None:
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type == "cpu":
        raise RuntimeError(f"{func}: expected a generator of the device toy, found one of the cpu")


_library = torch.library.Library("_", "IMPL")
_library.fallback(lambda op, *args, **kwargs: _compute(op, args, kwargs), "PrivateUse1")
_library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


@contextmanager
def on_device(doubles: bool = True) -> Iterator[Counter[str]]:
    """Let ``device="toy"`` make tensors of the device; give the count of waits by the line that asked for them.

    Inference mode is replaced by ``no_grad``, which a tensor around another one needs.

    Args:
        doubles: Whether the device has float64.
    """
    inference = torch.inference_mode
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else torch.enable_grad()
    _watch.update(waits=Counter(), doubles=doubles)
    try:
        with _Factories():
            yield _watch["waits"]
    finally:
        torch.inference_mode = inference
        _watch["doubles"] = True
