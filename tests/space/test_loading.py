"""Spaces in files and by name."""

from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings

from elasticnas import PerLayer, Range, Space, load_space
from elasticnas.errors import SpaceError
from elasticnas.space import dump_space
from elasticnas.testing import spaces

TEXT = """
name: Encoder
fields:
  hidden: [128, 96, 64]
  inner: {low: 32, high: 64, step: 16}
  depth: [1, 2, 3]
  mlp: {per_layer: [256, 128], count: depth}
  gated: [true, false]
  kind: [softmax, linrec]
  encoder: {fields: {heads: [4, 2]}}
"""


class Declared(Space):
    hidden: Literal[8, 4]
    inner: Annotated[int, Range(1, 5, 2)]
    layers: Annotated[tuple[Literal[2, 1], ...], PerLayer(2)]


class WithSize(Space):
    hidden: Literal[8, 4]

    @property
    def half(self) -> int:
        return self.hidden // 2


def written(folder, text, name="space.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_declares_a_space(tmp_path):
    space = load_space(written(tmp_path, TEXT))
    assert space.__name__ == "Encoder"
    assert space.choices()["inner"] == (32, 48, 64) and space.choices()["encoder.heads"] == (4, 2)
    assert space.size() == 3 * 3 * (2 + 4 + 8) * 2 * 2 * 2
    assert space.choices()["gated"] == (True, False)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(space=spaces(rules=False))
def test_declarative_spaces_come_back_from_their_yaml(space, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("space"), dump_space(space))
    back = load_space(path)
    assert back.choices() == space.choices() and back.size() == space.size()
    assert back.__name__ == space.__name__


def test_a_class_with_derived_sizes_is_named_instead(tmp_path):
    assert dump_space(WithSize) == "space: tests.space.test_loading:WithSize\n"
    assert load_space(written(tmp_path, dump_space(WithSize))) is WithSize
    assert "fields" in dump_space(Declared)


def test_by_module_and_by_file(tmp_path):
    assert load_space("tests.space.test_loading:Declared") is Declared
    code = "from typing import Literal\nfrom elasticnas import Space\nclass Mine(Space):\n    width: Literal[3, 2]\n"
    assert load_space(f"{written(tmp_path, code, 'mine.py')}:Mine").choices() == {"width": (3, 2)}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("expected 'fields:' with choices, or 'space: module:Class'", "hidden: [1, 2]"),
        ("unknown key 'rules'; known are name, fields, space", "fields: {a: [1]}\nrules: x"),
        ("fields must name at least one choice", "fields: {}"),
        ("field hidden: options must be integers, texts or booleans", "fields: {hidden: []}"),
        ("field hidden: options must be integers, texts or booleans", "fields: {hidden: [1.5]}"),
        ("field hidden: the options [1, 1] repeat", "fields: {hidden: [1, 1]}"),
        ("field hidden: expected a list of options", "fields: {hidden: 3}"),
        ("field size: the name of a method of Space", "fields: {size: [1, 2]}"),
        ("cannot be read as YAML", "fields: [unclosed"),
        ("low <= high", "fields: {a: {low: 3, high: 1}}"),
        ("low, high and step must be integers", "fields: {a: {low: x, high: 1}}"),
        ("more than 10,000 options", "fields: {a: {low: 1, high: 1000000000000}}"),
        ("count must be a number of layers from 1", "fields: {a: {per_layer: [1, 2], count: -3}}"),
        ("field 'a b': a field is a Python name", "fields: {a b: [1]}"),
        ("field 1: a field is a Python name", "fields: {1: [1]}"),
        ("fields contain themselves", "fields: &a {x: {fields: *a}}"),
        ("unknown key '1'", "fields: {a: [1]}\n1: 1\nx: 2"),
    ],
)
def test_wrong_files_are_one_line_with_the_file_and_field(tmp_path, message, text):
    path = written(tmp_path, text)
    with pytest.raises(SpaceError) as raised:
        load_space(path).choices()
    assert message in str(raised.value) and "\n" not in str(raised.value)
    if not message.startswith(("low <=", "more than")):
        assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("message", "source"),
    [
        ("no such file", "missing.yaml"),
        ("give a .yaml file, module:Class, file.py:Class", "encoder"),
        ("nowhere cannot be imported (ModuleNotFoundError", "nowhere:Space"),
        ("Missing is no Space; tests.space.test_loading has Declared, WithSize", "tests.space.test_loading:Missing"),
        ("missing.py: no such file", "missing.py:Mine"),
    ],
)
def test_wrong_names_are_one_line(message, source):
    with pytest.raises(SpaceError) as raised:
        load_space(source)
    assert message in str(raised.value)


def test_a_space_that_a_file_cannot_name_is_refused():
    class Inside(WithSize):
        pass

    with pytest.raises(SpaceError, match="declare it at the top of a module"):
        dump_space(Inside)
