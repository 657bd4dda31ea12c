"""Rules: the validators of a space, run on watched architectures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import local
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from elasticnas.errors import SpaceError, describe_error
from elasticnas.space.schema import Declared, lengths, spaces_in
from elasticnas.space.tree import NoOption, Path, leaves
from elasticnas.space.validators import FieldValidators, after_model_validators, is_opaque, takes_info
from elasticnas.space.watch import Node, Watch

__all__ = ["Rule", "Rules"]

_RUNS = 20_000  # most paths of one rule that are run to find the choices it reads


class _Changed(Exception):
    """A validator returned something other than its argument."""


@dataclass(frozen=True)
class Rule:
    """A validator.

    Attributes:
        name: Class and name.
        prefix: Path of the nested space that it belongs to.
        check: Raises if the validator rejects the watched architecture.
    """

    name: str
    prefix: tuple[str, ...]
    check: Callable[[Watch], None]


class Rules:
    """The rules of a space and of its nested spaces, in the order in which pydantic runs them.

    Args:
        space: The space.
        items: The choices of the space.

    Attributes:
        all: The rules, those of choices without effect first.
        written: The rules that are validators.
    """

    def __init__(self, space: Any, items: tuple[Declared, ...]) -> None:
        self._space, self._items = space, items
        self.root = Node.of(space, items)
        self.has_private = any(cls.__private_attributes__ for _, cls in spaces_in(space))
        self._local = local()  # each thread has its own watched instances
        opaque = [prefix for prefix, cls in spaces_in(space) if is_opaque(cls)]
        self.written = [
            rule
            for prefix, cls in spaces_in(space)
            if not any(len(prefix) > len(outer) and prefix[: len(outer)] == outer for outer in opaque)
            for rule in _of_class(cls, self.root.at(prefix), prefix in opaque)
        ]
        self.all = [_effect(item) for item in items if item.unless is not None] + self.written

    @cached_property
    def options(self) -> Mapping[str, tuple[int, ...]]:
        """Indices of the options that the validators of the field allow, by choice name.

        Raises:
            SpaceError: A validator changes an option, or raises an error other than ValueError and AssertionError.
        """
        return {name: indices for prefix, _ in spaces_in(self._space) for name, indices in self._allowed(prefix)}

    @property
    def _watch(self) -> Watch:
        if not hasattr(self._local, "watch"):
            self._local.watch = Watch(self.root, lengths(self._items))
        watch: Watch = self._local.watch
        return watch

    def run(self, path: Path, rules: Sequence[Rule] | None = None) -> bool:
        """Return whether the architecture of a path obeys these rules; by default all.

        Raises:
            SpaceError: A rule changes a value, or raises an error other than ValueError and AssertionError.
        """
        watch = self._watch.on(path)
        for rule in self.all if rules is None else rules:
            try:
                if not _obeyed(rule, watch):
                    return False
            except _Changed:
                raise SpaceError(
                    f"{rule.name} changes {self._text(path)}; a rule must return its argument or raise ValueError"
                ) from None
            except Exception as error:  # a rule can raise anything
                reason = describe_error(error)
                raise SpaceError(
                    f"{rule.name} fails for {self._text(path)} ({reason}); a rule must raise ValueError to reject it"
                ) from error
        return True

    def reads(self, rule: Rule) -> frozenset[str]:
        """Return the names of the choices that a rule reads on any branch; if that is not certain, all of its space."""
        read: set[str] = set()
        # a rule may store its result in a private attribute for later rules
        rules = self.all[: self.all.index(rule) + 1] if self.has_private else [rule]
        try:
            self._run_all(rules, self.options, read)
        except Exception:  # too many runs, or the rule fails for options that an earlier rule would have rejected
            deep = len(rule.prefix)
            read.update(item.choice.name for item in self._items if item.path[:deep] == rule.prefix)
        return frozenset(read)

    def reads_within(self, rule: Rule, options: Mapping[str, Sequence[int]]) -> "frozenset[str] | None":
        """Return the names of the choices that a rule reads if choices have these options; None if not certain."""
        read: set[str] = set()
        try:
            self._run_all([rule], options, read)
        except Exception:  # too many runs, or the rule relies on an earlier one
            return None
        return frozenset(read)

    def _run_all(self, rules: Sequence[Rule], options: Mapping[str, Sequence[int]], read: set[str]) -> None:
        """Run rules on every path through these options, and add the choices that they read."""

        def run(path: Path) -> bool:
            watch = self._watch.on(path)
            try:
                return all(_obeyed(each, watch) for each in rules)
            finally:
                read.update(path.taken)

        for _ in leaves(options, run, _RUNS):
            pass

    def refused_alone(self, indices: Mapping[str, int], names: frozenset[str]) -> bool:
        """Return whether some rule rejects the options of these choices whatever the others are."""
        if any(indices[name] not in self.options[name] for name in names):
            return True
        for rule in self.all:
            path = Path({name: (index,) for name, index in indices.items()})
            try:
                rejected = not _obeyed(rule, self._watch.on(path))
            except Exception:  # an earlier rule may reject these options
                continue
            if rejected and path.taken.keys() <= names:
                return True
        return False

    def _text(self, path: Path) -> str:
        options = {item.choice.name: item.choice.options for item in self._items}
        return ", ".join(f"{name}={options[name][index]!r}" for name, index in path.taken.items()) or "everything"

    def _allowed(self, prefix: tuple[str, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
        node = self.root.at(prefix)
        for name, info in node.cls.model_fields.items():
            below = node.fields[name]
            if isinstance(below, Node) or below == ():
                continue
            items = (below,) if isinstance(below, Declared) else below
            validate = FieldValidators(node.cls, name, info).alone()
            allowed = _passing(f"{node.cls.__name__}.{name}", items[0].choice.options, validate)
            yield from ((item.choice.name, allowed) for item in items)


def _effect(item: Declared) -> Rule:
    """Return the rule that a choice without effect has its first option, so that no network is counted twice."""
    assert item.unless is not None
    deciding, without = item.unless

    def check(watch: Watch) -> None:
        if watch.has(item) and watch.path.index(deciding.name) == without and watch.path.index(item.choice.name):
            raise ValueError(item.choice.name)

    return Rule(f"{item.choice.name} without effect", tuple(map(str, item.path[:-2])), check)


def _obeyed(rule: Rule, watch: Watch) -> bool:
    try:
        rule.check(watch)
    except (ValueError, AssertionError):  # pydantic treats both as a rejection
        return False
    except NoOption:
        return False
    if not watch.is_untouched():
        raise _Changed
    return True


def _passing(where: str, options: tuple[Any, ...], validate: Callable[[Any], Any] | None) -> tuple[int, ...]:
    """Return the indices of the options that a validator accepts."""
    passing = []
    for index, option in enumerate(options):
        try:
            given = option if validate is None else validate(option)
        except (ValueError, AssertionError):
            continue
        except Exception as error:  # a validator can raise anything
            raise SpaceError(f"{where}: a validator fails for {option!r} ({type(error).__name__}: {error})") from error
        if not _is_same(option, given):
            raise SpaceError(
                f"{where}: a validator changes {option!r} to {given!r}; it must return its argument or raise ValueError"
            )
        passing.append(index)
    return tuple(passing)


def _of_class(cls: Any, node: Node, opaque: bool) -> Iterator[Rule]:
    def rule(name: str, check: Callable[[Watch], None]) -> Rule:
        return Rule(f"{cls.__name__}.{name}", node.prefix, check)

    if opaque:
        yield rule("model_validate", lambda watch: _validated(watch, node, cls.model_validate))
        return
    for name, info in cls.model_fields.items():
        validators = FieldValidators(cls, name, info)
        if validators.is_single and validators.alone() is not None:
            continue
        if validators.hidden:
            yield rule(name, _whole_field(node, name, validators.whole()))
        for function in validators.after:
            yield rule(name, _after_field(node, name, function))
    if cls.__pydantic_post_init__ is not None:
        yield rule("model_post_init", lambda watch: watch.at(node.prefix))
    for name, function in after_model_validators(cls):
        yield rule(name, _after_model(node, function))


def _whole_field(node: Node, name: str, validate: Callable[[Any], Any]) -> Callable[[Watch], None]:
    return lambda watch: _validated(watch, node.fields[name], validate)


def _validated(watch: Watch, below: Any, validate: Callable[[Any], Any]) -> None:
    """Run pydantic's own validation on plain data, which reads all choices below."""
    given = watch.unwatched(below)
    if not _is_same(given, validate(watch.data(below))):
        raise _Changed


def _after_field(node: Node, name: str, function: Callable[..., Any]) -> Callable[[Watch], None]:
    earlier = list(node.fields)[: list(node.fields).index(name)]
    informed = takes_info(function)

    def check(watch: Watch) -> None:
        value = watch.field(node, name)
        info = SimpleNamespace(field_name=name, data=_Earlier(watch, node, earlier), **_context(node))
        if not _is_same(value, function(value, info) if informed else function(value)):
            raise _Changed

    return check


def _after_model(node: Node, function: Callable[..., Any]) -> Callable[[Watch], None]:
    informed = takes_info(function)
    info = SimpleNamespace(field_name=None, data={}, **_context(node))

    def check(watch: Watch) -> None:
        arch = watch.at(node.prefix)
        if (function(arch, info) if informed else function(arch)) is not arch:
            raise _Changed

    return check


def _context(node: Node) -> dict[str, Any]:
    return {"context": None, "mode": "python", "config": node.cls.model_config}


class _Earlier(Mapping[str, Any]):
    """The fields that are validated earlier; a field counts as read when it is accessed."""

    def __init__(self, watch: Watch, node: Node, names: list[str]) -> None:
        self._watch, self._node, self._names = watch, node, names

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._watch.field(self._node, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _is_same(given: Any, returned: Any) -> bool:
    if given is returned:
        return True
    if isinstance(given, tuple) and isinstance(returned, tuple):
        return len(given) == len(returned) and all(map(_is_same, given, returned))
    if isinstance(given, BaseModel) and type(given) is type(returned):
        return all(_is_same(getattr(given, name), getattr(returned, name)) for name in type(given).model_fields)
    return type(given) is type(returned) and bool(given == returned)
