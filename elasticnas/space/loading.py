"""Spaces in files: YAML for purely declarative spaces, ``module:Class`` for the others."""

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import create_model

from elasticnas.errors import SpaceError, short_repr
from elasticnas.files import read_text
from elasticnas.plain_yaml import parse_yaml
from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.schema import nested_space, per_layer
from elasticnas.space.space import Space, reserved

__all__ = ["dump_space", "load_space"]

# a longer list or a deeper stack takes minutes to show, and no network has one
_MOST_OPTIONS, _MOST_LAYERS, _LONGEST_TEXT = 10_000, 1_000, 200


def load_space(source: str | Path, run_code: bool = False) -> type[Space]:
    """Load a space from a YAML (or JSON) file, from ``module:Class``, or from ``file.py:Class``.

    A file declares its choices::

        name: Encoder
        fields:
          hidden: [128, 96, 64]
          inner: {low: 32, high: 128, step: 16}
          depth: [1, 2, 3, 4]
          mlp: {per_layer: [256, 128], count: depth}
          encoder: {fields: {heads: [4, 2]}}

    or names a class that has rules or derived sizes: ``space: module:Class``.

    Args:
        source: A file, or the name of a class.
        run_code: Whether a YAML file may name a module that has to be imported, which runs the module's code. Modules
            that are imported already and spaces of installed plug-ins need no consent.

    Raises:
        SpaceError: The file or class is missing or is not a space, or ``run_code`` is needed.
    """
    text = str(source)
    path = Path(source)
    if path.suffix in (".yaml", ".yml", ".json"):
        return _from_file(path, run_code)
    if ":" in text:
        return _from_name(text)
    raise SpaceError(f"{text}: give a .yaml file, module:Class, file.py:Class, or the name of an installed space")


def dump_space(space: type[Space]) -> str:
    """Return YAML for :func:`load_space`: the fields of a purely declarative space, the class name of any other.

    Raises:
        SpaceError: A class with rules or derived sizes is not at the top of its module.
    """
    if not _declarative(space):
        found: Any = sys.modules.get(space.__module__)
        for part in space.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not space:
            raise SpaceError(
                f"{space.__name__} has rules or derived sizes and is made inside a function: a file cannot name it; "
                "declare it at the top of a module"
            )
        return yaml.safe_dump({"space": f"{space.__module__}:{space.__qualname__}"}, sort_keys=False)
    return yaml.safe_dump({"name": space.__name__, "fields": _fields(space)}, sort_keys=False, default_flow_style=None)


def _from_file(path: Path, run_code: bool) -> type[Space]:
    try:
        data = parse_yaml(read_text(path))
    except FileNotFoundError:
        raise SpaceError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SpaceError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(data, dict) or not ({"fields", "space"} & data.keys()):
        raise SpaceError(f"{path}: expected 'fields:' with choices, or 'space: module:Class'")
    if unknown := data.keys() - {"name", "fields", "space"}:
        raise SpaceError(f"{path}: unknown key {min(map(str, unknown))!r}; known are name, fields, space")
    if "space" in data:
        return _named_by_file(path, str(data["space"]), run_code)
    name = str(data.get("name", path.stem))
    _require_printable(name, f"{path}, name")
    return _declared(name, data["fields"], str(path))


def _named_by_file(path: Path, target: str, run_code: bool) -> type[Space]:
    """Return the class that a file names; a file must not choose what runs, so importing needs consent."""
    if run_code:
        return _from_name(target)
    module_name, _, class_name = target.rpartition(":")
    found: Any = sys.modules.get(module_name)
    for part in class_name.split(".") if found is not None else ():
        found = vars(found).get(part)
    if isinstance(found, type) and issubclass(found, Space):
        return found
    for point in entry_points(group="elasticnas.spaces"):
        if point.value == target:
            installed: type[Space] = point.load()
            return installed
    raise SpaceError(
        f"{path}: names {target[:80]!r}, and importing that runs its code; if you trust it, give run_code=True"
    )


def _require_printable(text: str, where: str) -> None:
    if not text.isprintable() or len(text) > _LONGEST_TEXT:
        raise SpaceError(
            f"{where}: {short_repr(text)} is longer than {_LONGEST_TEXT} characters or has control characters"
        )


def _declared(name: str, fields: Any, where: str) -> type[Space]:
    if not isinstance(fields, dict) or not fields:
        raise SpaceError(f"{where}: fields must name at least one choice, found {short_repr(fields)}")
    types: dict[str, Any] = {}
    for field, given in fields.items():
        if len(str(field)) > _LONGEST_TEXT:
            raise SpaceError(f"{where}: a field name of {len(str(field)):,} characters, of at most {_LONGEST_TEXT}")
        if not str(field).isidentifier() or iskeyword(str(field)) or str(field).startswith("_"):
            raise SpaceError(f"{where}, field {field!r}: a field is a Python name such as hidden")
        if (owner := reserved(str(field))) is not None:
            raise SpaceError(f"{where}, field {field}: the name of {owner}; give it another name")
        types[str(field)] = (_type(given, f"{where}, field {field}", str(field)), ...)
    return create_model(name, __base__=Space, **types)


def _type(given: Any, where: str, field: str) -> Any:
    if isinstance(given, list):
        if not given or not all(isinstance(option, (int, str)) for option in given):
            raise SpaceError(
                f"{where}: options must be integers, texts or booleans, at least one; found {short_repr(given)}"
            )
        if len(given) > _MOST_OPTIONS:
            raise SpaceError(f"{where}: {len(given):,} options, of at most {_MOST_OPTIONS:,}; use low, high and step")
        for option in given:
            _require_printable(str(option), where)
        if len({(type(option), option) for option in given}) != len(given):
            raise SpaceError(f"{where}: the options {short_repr(given)} repeat; name each once")
        return bool if given == [True, False] else Literal[tuple(given)]
    if isinstance(given, dict) and given.keys() == {"fields"}:
        return _declared(field.title(), given["fields"], where)
    if isinstance(given, dict) and {"low", "high"} <= given.keys() <= {"low", "high", "step"}:
        if not all(type(value) is int for value in given.values()):
            raise SpaceError(f"{where}: low, high and step must be integers; found {short_repr(given)}")
        return Annotated[int, Range(**given)]
    if isinstance(given, dict) and {"per_layer", "count"} <= given.keys() <= {"per_layer", "count", "unless"}:
        if not (isinstance(given["count"], str) or (type(given["count"]) is int and given["count"] > 0)):
            raise SpaceError(f"{where}: count must be a number of layers from 1, or the field that says it")
        if type(given["count"]) is int and given["count"] > _MOST_LAYERS:
            raise SpaceError(f"{where}: count={given['count']:,} layers, of at most {_MOST_LAYERS:,}")
        each: Any = _type(given["per_layer"], where, field)
        unless = given.get("unless")
        return Annotated[tuple[each, ...], PerLayer(given["count"], tuple(unless) if unless is not None else None)]
    raise SpaceError(
        f"{where}: expected a list of options, {{low, high, step}}, {{per_layer, count}} or {{fields}}; found "
        f"{short_repr(given)}"
    )


def _from_name(text: str) -> type[Space]:
    module_name, _, class_name = text.rpartition(":")
    try:
        module: Any = _file_module(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    except SpaceError:
        raise
    except Exception as error:  # the user's module can raise anything
        raise SpaceError(f"{text}: {module_name} cannot be imported ({type(error).__name__}: {error})") from None
    found: Any = module
    for part in class_name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Space)):
        spaces = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Space) and v is not Space]
        raise SpaceError(f"{text}: {class_name} is no Space; {module_name} has {', '.join(spaces) or 'none'}")
    return found


def _module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)


def _file_module(path: Path) -> Any:
    if not path.exists():
        raise SpaceError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _declarative(space: type[Space]) -> bool:
    """Return whether a space has no rules, no properties and no options that a validator rejects."""
    info = space.info()
    allowed = info.rules.options
    every = all(len(allowed[choice.name]) == len(choice.options) for choice in info.choices)
    return every and not info.properties and not info.rules.written


def _fields(space: type[Space]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, info in space.model_fields.items():
        options = next(list(item.choice.options) for item in space.info().declared if item.path[0] == name)
        if (nested := nested_space(info)) is not None:
            described[name] = {"fields": _fields(nested)}
        elif (layers := per_layer(info)) is not None:
            unless = {} if layers.unless is None else {"unless": list(layers.unless)}
            described[name] = {"per_layer": options, "count": layers.count, **unless}
        else:
            described[name] = options
    return described
