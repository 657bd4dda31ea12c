"""What is printed fits one line of a terminal, and what is read is bounded."""

import pytest

from elasticnas.errors import ConfigError, printable
from elasticnas.plain_yaml import parse_yaml
from elasticnas.study import StudySettings

NESTED = ", ".join(f"k{n}: &k{n} [{','.join([f'*k{n - 1}'] * 10)}]" for n in range(1, 6))
BOMB = f"{{k0: &k0 [x, x], {NESTED}}}"  # 300 characters, 300,000 values


def test_messages_are_one_line_of_300_characters_without_controls():
    assert printable("a\n b\x1b[31m\u202e\ud800é漢") == "a b\\x1b[31m\\u202e\\ud800é漢"
    long = printable("begin " + "x" * 10**6 + " end")
    assert len(long) == 300 and long.startswith("begin x") and long.endswith("x end") and " ... " in long
    assert len(printable("\x1b" * 1000)) == 300
    assert printable("y" * 300) == "y" * 300


def test_an_error_that_quotes_controls_is_shown_escaped(main, tmp_path):
    code, _, said = main("space", "show", tmp_path / ("\x1b[31m" + "n" * 100 + ".yaml"))
    assert code == 1 and "\x1b" not in said and "\\x1b[31m" in said
    code, _, said = main("easrec", "run", "--preset", "demo", "--set", f"seed={'9' * 5000}")
    assert code == 1 and len(said) <= len("error: ") + 300 + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 3000, "nested too deeply"),
        ("2024-13-45", "month"),
        ("9" * 5000, "5000 digits"),
        ("a: [unclosed", "while parsing"),
        ("&a [*a]", "contain themselves"),
        ("x" * 200_001, "200,001 characters"),
        (BOMB, "values when aliases are replaced"),
        ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("{[1]: 2}", "unhashable"),
    ],
)
def test_yaml_is_bounded_and_its_errors_are_one_kind(text, message):
    with pytest.raises(ValueError, match=message) as raised:
        parse_yaml(text)
    assert "\n" not in str(raised.value)


def test_yaml_within_the_bounds_is_read():
    assert parse_yaml("{a: &a [1, x], b: *a, c: 2.5, d: null}") == {"a": [1, "x"], "b": [1, "x"], "c": 2.5, "d": None}
    assert parse_yaml("") is None


@pytest.mark.parametrize("shares", [[float("nan")], [0.5, float("nan")], [float("inf")]])
def test_shares_that_are_no_numbers_are_refused(shares):
    with pytest.raises(ConfigError, match="shares"):
        StudySettings(shares=shares)


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_weight_of_popularity_is_finite(main, value):
    code, _, said = main("easrec", "evaluate", "--popularity", value)
    assert code == 2 and "finite" in said


@pytest.mark.parametrize("command", [["easrec", "run", "--preset", "demo"], ["digits", "run"], ["easrec", "recommend"]])
def test_an_empty_folder_name_is_refused(main, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for name in ("", " "):
        code, _, said = main(*command, "--out", name)
        assert code == 2 and "a folder is needed" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["NAME"],
        ["easrec", "NAME"],
        ["easrec", "recommend", "--NAME"],
        ["easrec", "recommend", "--top", "NAME"],
        ["easrec", "recommend", "--repeats=NAME"],
        ["easrec", "ids", "NAME"],
        ["easrec", "ids", "users", "NAME"],
        ["easrec", "ids", "--out", "NAME"],
        ["easrec", "reproduce", "NAME"],
        ["space", "sample", "x:Y", "--format", "NAME"],
    ],
)
def test_usage_errors_do_not_repeat_control_characters(main, arguments):
    code, printed, said = main(*(each.replace("NAME", "\x1b]0;title\x07\x1b[2J") for each in arguments))
    assert code == 2 and said
    assert not {"\x1b", "\x07"} & set(printed + said)
