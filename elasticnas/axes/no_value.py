"""NoValue: operations that a size refuses, because it has a single value only in a scope."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from elasticnas.errors import AxisError

__all__ = ["NoValue", "NoValueError"]

_NUMBER = (
    "in __init__ give the axis to a layer of elasticnas.nn such as enn.Linear, in forward take "
    "elasticnas.axes.active_size(axis); axis.size is the largest"
)
_ARITHMETIC = "sizes multiply, add and divide (//); make anything else an integer property of the space"


class NoValueError(AxisError, TypeError):
    """A size is used as a single value, which it has only in a scope.

    It is also a TypeError, so that Python and libraries can test whether a size is a number.
    """


def _refuse(size: object, use: str, way_out: str) -> NoReturn:
    raise NoValueError(f"{size!r} has no single value for {use}: {way_out}")


def _operator(sign: str) -> Callable[[Any, Any], NoReturn]:
    def method(self: Any, other: Any) -> NoReturn:
        _refuse(self, f"the operator {sign}", _ARITHMETIC)

    return method


def _comparison(sign: str) -> Callable[[Any, Any], NoReturn]:
    def method(self: Any, other: Any) -> NoReturn:
        _refuse(self, f"the comparison {sign}", f"{_NUMBER}; a condition on sizes is a rule of the space")

    return method


class NoValue:
    """Mixin of the operations that a size refuses; each error names an alternative."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, float, str)):
            _refuse(
                self,
                f"the comparison == {other!r}",
                "enn.Mixture(modules, axis) runs one of several modules; " + _NUMBER,
            )
        return self is other

    __hash__ = object.__hash__

    if not TYPE_CHECKING:  # type checkers reject these operations when they are not defined

        def __index__(self) -> NoReturn:
            _refuse(self, "range(), an index or a slice", f"{_NUMBER}; enn.Stack(layers, axis) runs that many layers")

        def __int__(self) -> NoReturn:
            _refuse(self, "int()", _NUMBER)

        def __float__(self) -> NoReturn:
            _refuse(self, "float()", _NUMBER)

        def __round__(self, digits: int = 0) -> NoReturn:
            _refuse(self, "round()", _ARITHMETIC)

        def __iter__(self) -> Iterator[Any]:
            _refuse(
                self,
                "a loop or a tuple",
                "enn.Stack(layers, axis) runs that many layers, and the layers of elasticnas.nn, such as "
                "enn.LayerNorm, take an axis as their size",
            )

        def __bool__(self) -> NoReturn:
            _refuse(
                self,
                "a condition",
                "enn.DepthSkip(module, axis) runs a module where the axis is True, enn.Mixture(modules, axis) one of "
                "several",
            )

        __lt__, __le__, __gt__, __ge__ = (
            _comparison("<"),
            _comparison("<="),
            _comparison(">"),
            _comparison(">="),
        )
        __sub__, __rsub__ = _operator("-"), _operator("-")
        __truediv__, __rtruediv__ = _operator("/"), _operator("/")
        __floordiv__, __rfloordiv__ = _operator("//"), _operator("//")
        __mod__, __rmod__ = _operator("%"), _operator("%")
        __pow__, __rpow__ = _operator("**"), _operator("**")

        def __neg__(self) -> NoReturn:
            _refuse(self, "the operator -", _ARITHMETIC)

        @classmethod
        def __torch_function__(
            cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: "dict[str, Any] | None" = None
        ) -> NoReturn:
            """Refuse functions of torch, which take numbers."""
            sizes = [part for part in _flat([*args, *(kwargs or {}).values()]) if isinstance(part, NoValue)]
            _refuse(sizes[0] if sizes else cls, f"torch's {function.__name__}", _NUMBER)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value
