"""Imports point one way, and importing does nothing else."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# lower ones never import higher ones; those on one line do not import each other
LAYERS = [
    ["errors"],
    ["calls"],
    ["files", "plain_yaml"],
    ["packages", "runtime", "settings", "record"],
    ["checkpoint", "parallel", "report"],
    ["axes"],
    ["space"],
    ["nn"],
    ["elastic"],
    ["extraction"],
    ["run"],
    ["cost"],
    ["search", "export"],
    ["study"],
    ["testing", "plugins"],
    ["contest"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def wrong_arrows(name, targets):
    for target in targets:
        parts = target.split(".")
        if parts[0] != "elasticnas" or len(parts) == 1:
            continue
        if parts[1] != name and RANK[parts[1]] >= RANK[name]:
            yield target


def test_lower_folders_never_import_higher_ones():
    for path in sources("elasticnas"):
        parts = path.relative_to(ROOT / "elasticnas").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        assert parts[0] in RANK, f"{path}: say in LAYERS where {parts[0]} stands"
        assert not list(wrong_arrows(parts[0], imported(path))), path


def test_a_wrong_arrow_is_noticed():
    assert list(wrong_arrows("axes", ["elasticnas.nn.linear"])) == ["elasticnas.nn.linear"]
    assert not list(wrong_arrows("nn", ["elasticnas.axes", "elasticnas.nn.linear", "torch"]))


def test_the_library_imports_no_recipe_and_no_test():
    recipes = {path.name for path in (ROOT / "recipes").iterdir() if path.is_dir()}
    for path in sources("elasticnas"):
        assert not {target.split(".")[0] for target in imported(path)} & (recipes | {"recipes", "tests", "examples"}), (
            path
        )


def test_recipes_import_no_other_recipe():
    folders = {path.parent.relative_to(ROOT / "recipes") for path in (ROOT / "recipes").rglob("plugin.py")}
    recipes = {".".join(folder.parts) for folder in folders}
    assert recipes == {"easrec", "elasticnas_recipes.charlm", "elasticnas_recipes.digits"}
    for recipe in recipes:
        for path in sources("recipes/" + recipe.replace(".", "/")):
            others = {
                name for name in recipes - {recipe} for target in imported(path) if f"{target}.".startswith(f"{name}.")
            }
            assert not others, f"{path}: imports {others}"


def test_no_star_imports_and_every_package_names_what_is_public():
    for folder in ("elasticnas", "recipes"):
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            assert "import *" not in text, path
            if path.name != "cli.py" and "def " in text:
                assert "__all__" in text, path


@pytest.mark.parametrize("package", ["elasticnas", "elasticnas.nn", "elasticnas.run", "elasticnas.search"])
def test_importing_prints_nothing_and_needs_nothing_optional(package):
    code = (
        f"import os, sys; before = dict(os.environ); import {package}; assert dict(os.environ) == before; "
        "assert not {'polars', 'hypothesis', 'pytest', 'optuna'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_public_names_of_the_root_have_their_homes():
    import elasticnas

    named = sorted(name for names in elasticnas._HOMES.values() for name in names)
    assert named == sorted(elasticnas.__all__) and set(named) <= set(dir(elasticnas))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = elasticnas.nothing


def test_public_names_are_there():
    """The contract of names."""
    import elasticnas
    import elasticnas.cost
    import elasticnas.nn
    import elasticnas.run
    import elasticnas.search
    import elasticnas.testing

    for module, names in (
        (elasticnas, "Space PerLayer Range load_space elastify extract save load check"),
        (
            elasticnas.nn,
            "Linear Embedding LayerNorm RMSNorm FeedForward DataAwareGate DepthSkip Stack Mixture Attention",
        ),
        (elasticnas.nn, "Parameter"),
        (elasticnas.cost, "Flops Params Memory Latency"),
        (elasticnas.run, "Batches BatchStream Progress Run Work drive one_epoch"),
        (elasticnas.search, "BilevelSearcher Candidate Problem SearchResult SearchSettings SupernetTrainer"),
        (elasticnas.search, "TrainerSettings TrainingResult pareto"),
        (elasticnas.search, "DARTS DynamicConstraint Evolve GradientStrategy ProxylessNAS RandomSearch RecNAS"),
        (elasticnas.search, "OptionScores Reinforce ScoreOptions SPOS Strategy"),
        (elasticnas.testing, "architectures spaces assert_mask_slice_equal ElasticModuleContract StrategyContract"),
    ):
        for name in names.split():
            assert name in module.__all__ and hasattr(module, name)
