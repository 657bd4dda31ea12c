"""SpaceInfo: everything derived from a Space class, computed at first use."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from elasticnas.axes import Choice, Quantity
from elasticnas.axes.quantity import Projection
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.space.architectures import Architectures
from elasticnas.space.completer import Completer
from elasticnas.space.derived import derived, properties_of
from elasticnas.space.membership import Membership
from elasticnas.space.rules import Rules
from elasticnas.space.schema import Declared, declared, read

if TYPE_CHECKING:
    from elasticnas.space.space import Space

__all__ = ["SpaceInfo"]


class SpaceInfo:
    """Everything derived from a Space class; ``Space.info()`` returns the one instance of a class.

    Args:
        space: The class.

    Raises:
        SpaceError: A field is not a choice, or the class has no field.
    """

    def __init__(self, space: "type[Space]") -> None:
        self.space = space
        self.declared: tuple[Declared, ...] = tuple(declared(space))
        if not self.declared:
            raise SpaceError(f"{space.__name__} declares no choice: add a field such as hidden: Literal[128, 64]")
        self.choices: tuple[Choice, ...] = tuple(item.choice for item in self.declared)
        self.properties: tuple[str, ...] = properties_of(space)
        self.membership = Membership(space, self.declared)
        self._derived: dict[str, Mapping[str, Quantity]] = {}

    @cached_property
    def quantities(self) -> Mapping[str, Quantity]:
        """A quantity for every choice, by dotted name."""
        return {item.choice.name: _of_choice(item, self.projection) for item in self.declared}

    def derived(self, name: str) -> Mapping[str, Quantity]:
        """Return the sizes of a property by dotted name: the property, or the entries of a tuple (``sizes.0``).

        The first call runs the property.

        Args:
            name: One of :attr:`properties`.

        Returns:
            The sizes; empty if the property is not an integer or a tuple of integers, or reads no choice.

        Raises:
            SpaceError: It fails on every architecture, or depends on too many combinations of options.
        """
        if name not in self._derived:
            found = derived(self.space, self.declared, name)
            choices = tuple(item.choice for item in found.choices)
            self._derived[name] = {
                label: Quantity(label, choices, _reader_of_size(path), self.projection)
                for label, path in found.sizes.items()
            }
        return self._derived[name]

    def projection(self, choices: tuple[Choice, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Iterate over all combinations of options of these choices that occur in a valid architecture, with one each.

        Yields:
            Option indices, one for each choice, and an architecture that has them.

        Raises:
            SpaceError: None was found for a combination, but there may be one.
        """
        names = frozenset(choice.name for choice in choices)
        items = [item for item in self.declared if item.choice.name in names]
        # layers whose number is not among the choices must be present
        present = [item for item in items if item.length_of is not None and item.length_of not in names]
        tied = self.architectures.around(names | {item.length_of for item in present if item.length_of is not None})
        free = [item for item in self.declared if item.choice.name in tied and item.choice.name not in names]
        known = [self.architectures.nearest(largest=True), self.architectures.nearest(largest=False)]
        completer = Completer(self.space.__name__, self.declared, free, self.rules, self.possible, known)
        for indices in product(*(range(len(choice.options)) for choice in choices)):
            given = {choice.name: choice.options[index] for choice, index in zip(choices, indices, strict=True)}
            arch = completer.around(given, present)
            if arch is not None:
                yield indices, arch

    @cached_property
    def rules(self) -> Rules:
        """The rules of the space and of its nested spaces."""
        return Rules(self.space, self.declared)

    @cached_property
    def architectures(self) -> Architectures:
        """The valid architectures, as assignments."""
        return Architectures(self.space.__name__, self.declared, self.rules, self.possible)

    @cached_property
    def largest(self) -> Any:
        """The valid architecture nearest to every choice at its maximum."""
        return self.membership.make(self.architectures.nearest(largest=True))

    @cached_property
    def smallest(self) -> Any:
        """The valid architecture nearest to every choice at its minimum."""
        return self.membership.make(self.architectures.nearest(largest=False))

    def possible(self, assignment: Mapping[str, object]) -> Any:
        """Return the architecture of an assignment; None if a rule rejects it."""
        try:
            return self.membership.make(assignment)
        except ArchitectureError:
            return None

    def check(self, arch: object) -> None:
        """Require a valid architecture; ``model_copy(update=...)`` can make invalid ones.

        Raises:
            ArchitectureError: It is of another class, has a value that is not an option or a wrong number of layers,
                or breaks a rule.
        """
        self.membership.values(arch)

    def key(self, arch: object) -> tuple[int | None, ...]:
        """Return a hashable key that differs between architectures even if Python compares their values as equal.

        The key holds the option index of every choice, None for absent layers: the options 1 and True differ.

        Raises:
            ArchitectureError: As :meth:`check`.
        """
        values = self.membership.values(arch)
        return tuple(
            item.choice.index(values[item.choice.name]) if item.active(values) else None for item in self.declared
        )


def _of_choice(item: Declared, projection: Projection) -> Quantity:
    # an absent layer is not run: any option is valid, the smallest costs least
    numbers = [o for o in item.choice.options if isinstance(o, int)]
    absent = min(numbers) if len(numbers) == len(item.choice.options) else item.choice.options[0]
    return Quantity(item.choice.name, (item.choice,), lambda arch: read(arch, item.path, absent), projection)


def _reader_of_size(path: tuple[str | int, ...]) -> Callable[[Any], Any]:
    """Return a reader of a property or of an entry of one; a layer that is absent has the size of the last one."""

    def value(arch: Any) -> Any:
        found = read(arch, path)
        entries = read(arch, path[:-1]) if found is None and isinstance(path[-1], int) else None
        return entries[-1] if isinstance(entries, tuple) and entries else found

    return value


def _reader(path: tuple[str | int, ...]) -> Callable[[Any], Any]:
    return lambda arch: read(arch, path)
