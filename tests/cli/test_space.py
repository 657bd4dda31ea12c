"""``elasticnas space``."""

import json

import pytest
import yaml

TEXT = "name: Small\nfields: {hidden: [8, 4], depth: [1, 2]}\n"


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_show_lists_choices_and_counts(main, space):
    code, shown, _ = main("space", "show", space)
    assert code == 0 and "hidden" in shown and "8, 4" in shown and "architectures: 4" in shown
    assert "largest:  Small(hidden=8, depth=2)" in shown and "smallest: Small(hidden=4, depth=1)" in shown


def test_show_of_a_class_lists_derived_sizes(main):
    _, shown, _ = main("space", "show", "tests.nn.spaces:Encoder")
    assert "head_dim (derived)" in shown


def test_check_accepts_and_refuses_architectures(main, space, tmp_path):
    assert main("space", "check", space)[1].startswith("ok: Small is a valid space")
    arch = tmp_path / "arch.yaml"
    arch.write_text("hidden: 8\ndepth: 1\n")
    assert main("space", "check", space, arch) == (0, "ok: Small(hidden=8, depth=1)\n", "")
    for text, message in (
        ("hidden: 7\ndepth: 1\n", "hidden: Input should be 8 or 4 (got 7)"),
        ("hidden: [", "not YAML"),
        ("hidden: 8\n", "depth: Field required"),
        ("3\n", "Small"),
    ):
        arch.write_text(text)
        code, _, said = main("space", "check", space, arch)
        assert code == 1 and str(arch) in said and message in said and said.count("\n") == 1
    code, _, said = main("space", "check", space, tmp_path / "none.yaml")
    assert code == 1 and "none.yaml: cannot be read" in said
    arch.write_bytes(b"\xff\xfe")
    assert main("space", "check", space, arch)[0] == 1


def test_sample_is_seeded_and_in_both_forms(main, space):
    _, drawn, _ = main("space", "sample", space, "--count", 3, "--seed", 1)
    assert main("space", "sample", space, "--count", 3, "--seed", 1)[1] == drawn
    assert all(arch["hidden"] in (8, 4) for arch in yaml.safe_load_all(drawn))
    _, lines, _ = main("space", "sample", space, "--count", 3, "--seed", 1, "--format", "json")
    assert [json.loads(line) for line in lines.splitlines()] == list(yaml.safe_load_all(drawn))


@pytest.mark.parametrize("arguments", [("show", "none.yaml"), ("sample", "nowhere:Space"), ("check", "mine.py:Mine")])
def test_a_missing_source_is_one_line(main, arguments):
    code, _, said = main("space", *arguments)
    assert code == 1 and said.startswith("error: ") and said.count("\n") == 1


def test_version_and_wrong_usage(main):
    import elasticnas

    assert main("--version")[1] == f"elasticnas {elasticnas.__version__}\n"
    assert main("space", "sample", "x", "--count", 0)[0] == 2
