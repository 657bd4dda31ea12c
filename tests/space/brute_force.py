"""What a space holds, found without it: every combination of options, validated by pydantic one by one."""

import itertools
from typing import Annotated, Literal, get_args, get_origin

from pydantic import ValidationError

from elasticnas import PerLayer, Range, Space


def combinations(space):
    """Plain data of every architecture that the options make, rules aside."""
    fields = {name: list(_values(info)) for name, info in space.model_fields.items()}
    counts = {
        name: layers.count
        for name, info in space.model_fields.items()
        for layers in info.metadata
        if isinstance(layers, PerLayer) and isinstance(layers.count, str)
    }
    for values in itertools.product(*fields.values()):
        data = dict(zip(fields, values, strict=True))
        if all(len(data[name]) == data[count] for name, count in counts.items()):
            yield data


def valid(space):
    """The architectures that pydantic accepts."""
    found = []
    for data in combinations(space):
        try:
            found.append(space.model_validate(data))
        except ValidationError:
            continue
    return found


def nearest(space, largest):
    """The valid architecture fewest steps from the extreme; the first choices decide between equals."""
    return min(valid(space), key=lambda arch: _distance(space, arch, largest))


def _distance(space, arch, largest):
    steps = list(_steps(space, arch, largest))
    return sum(steps), steps


def _steps(space, arch, largest):
    for name, info in space.model_fields.items():
        value = getattr(arch, name)
        if isinstance(value, Space):
            yield from _steps(type(value), value, largest)
        elif isinstance(value, tuple):
            ordered = _ordered(_options(get_args(info.annotation)[0], []), largest)
            yield from (ordered.index(layer) for layer in value)
            yield from [0] * (_most(space, info) - len(value))
        else:
            yield _ordered(_options(info.annotation, info.metadata), largest).index(value)


def _ordered(options, largest):
    return sorted(options, reverse=largest) if all(isinstance(o, int) for o in options) else list(options)


def _most(space, info):
    count = next(item.count for item in info.metadata if isinstance(item, PerLayer))
    return count if isinstance(count, int) else max(get_args(space.model_fields[count].annotation))


def _values(info):
    if isinstance(info.annotation, type) and issubclass(info.annotation, Space):
        yield from combinations(info.annotation)
        return
    layers = next((item for item in info.metadata if isinstance(item, PerLayer)), None)
    if layers is None:
        yield from _options(info.annotation, info.metadata)
        return
    options = _options(get_args(info.annotation)[0], [])
    counts = [layers.count] if isinstance(layers.count, int) else range(4)
    for count in counts:
        yield from itertools.product(options, repeat=count)


def _options(annotation, metadata):
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    if annotation is bool:
        return [True, False]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    span = next(item for item in metadata if isinstance(item, Range))
    return list(range(span.low, span.high + 1, span.step))
