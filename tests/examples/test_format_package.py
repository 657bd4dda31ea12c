"""A format of an installed package is read like a built-in one."""

from importlib.metadata import EntryPoint

import pytest

from easrec.data import Interactions, known_formats
from elasticnas.errors import PluginError
from tests.examples.test_examples import install  # noqa: F401

LINES = "\n".join(
    f'at={time} level=info user={user} item={item} text="a view"'
    # out of order on purpose: the sequence is 9, 4, 7
    for user, item, time in [(1, "7", 30), (1, "9", 10), (1, "4", 20), (2, "4", 1), (2, "7", 2), (2, "4", 3)]
)


def test_it_is_found_by_its_ending_and_by_its_name(install, main, tmp_path):  # noqa: F811
    install("format_package", "easrec_logfmt")
    for name, format in (("clicks.log", "auto"), ("log.data", "logfmt")):
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
        ("user=1 item=2\nuser 1 item 2", "row 2: 'user 1 item 2'; write key=value pairs"),
        ("who=1 item=2", "no column 'user'; the columns are who, item; name it by --user"),
        (
            "user=a item=x\nuser=a item=",
            "no user is left of 2 interactions (1 of 1 users with fewer than 3, 1 without a user or an item)",
        ),
        ("user=1 item=2 at=3\nuser=1 item=2 at=noon", "row 2: the time 'noon' is neither a number nor an ISO date"),
    ],
)
def test_errors_are_one_line_with_the_row(install, main, tmp_path, content, message):  # noqa: F811
    install("format_package", "easrec_logfmt")
    (tmp_path / "clicks.log").write_text(content)
    code, _, said = main("easrec", "prepare", "--data", tmp_path / "clicks.log", "--out", tmp_path / "out.npz")
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
