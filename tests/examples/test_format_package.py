"""A format of an installed package is read like a built-in one."""

from importlib.metadata import EntryPoint

import pytest

from easrec.data import Interactions, known_formats
from elasticnas.errors import PluginError
from tests.examples.test_examples import install  # noqa: F401

LINES = "\n".join(
    f'{{"user_id": {user}, "item_id": "{item}", "timestamp": {time}}}'
    # out of order on purpose: the sequence is 9, 4, 7
    for user, item, time in [(1, "7", 30), (1, "9", 10), (1, "4", 20), (2, "4", 1), (2, "7", 2), (2, "4", 3)]
)


def test_it_is_found_by_its_ending_and_by_its_name(install, main, tmp_path):  # noqa: F811
    install("format_package", "jsonlines")
    for name, format in (("log.jsonl", "auto"), ("log.data", "jsonl")):
        (tmp_path / name).write_text(LINES)
        out = tmp_path / f"{name}.npz"
        code, _, said = main("easrec", "prepare", "--data", tmp_path / name, "--format", format, "--out", out)
        assert (code, said) == (0, "")
        data = Interactions.load(out)
        items = [data.item_ids[i] for i in data.items]
        assert data.user_ids == ["2", "1"] and items == ["4", "7", "4", "9", "4", "7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"user_id": 1, "item_id": 2}\n{"user_id"', "row 2: not valid JSON"),
        ("[1, 2]", "row 1: expected a JSON object, found [1, 2]"),
        ('{"user": 1, "item_id": 2}', "no column 'user_id'; the columns are user, item_id; name it by --user"),
        ('{"user_id": "a", "item_id": "x"}\n{"user_id": "a", "item_id": null}', "1 rows have no user or no item"),
    ],
)
def test_errors_are_one_line_with_the_row(install, main, tmp_path, content, message):  # noqa: F811
    install("format_package", "jsonlines")
    (tmp_path / "log.jsonl").write_text(content)
    code, _, said = main("easrec", "prepare", "--data", tmp_path / "log.jsonl", "--out", tmp_path / "out.npz")
    assert code == 1 and message in said and said.count("\n") == 1


def test_a_second_format_of_a_name_and_an_object_of_another_kind_are_refused(monkeypatch, main, tmp_path):

    def installed(**points):
        found = [EntryPoint(name, value, "easrec.formats") for name, value in points.items()]
        monkeypatch.setattr("easrec.data.formats.entry_points", lambda group: found)

    installed(csv="easrec.data.formats:FORMATS")
    with pytest.raises(PluginError, match=r"expected an easrec.data.Format, found"):
        known_formats()
    installed(missing="no_such_module:X")
    with pytest.raises(PluginError, match=r"the format missing .* cannot be loaded: .*no_such_module"):
        known_formats()
    (tmp_path / "twin.py").write_text("from easrec.data import FORMATS\nCSV = FORMATS['csv']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(twin="twin:CSV")
    with pytest.raises(PluginError, match="two formats have the name 'csv'"):
        known_formats()
