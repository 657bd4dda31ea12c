"""What is public is listed, documented, and changes only on purpose."""

import importlib
import inspect
import subprocess
import sys

import pytest

import elasticnas
from tests.public_api import LIST, listed

PACKAGES = ["elasticnas", *(f"elasticnas.{name}" for name in elasticnas._PACKAGES), "easrec"]


def test_the_public_names_and_signatures_are_those_listed():
    given, written = listed().splitlines(), LIST.read_text(encoding="utf-8").splitlines()
    gone, new = [line for line in written if line not in given], [line for line in given if line not in written]
    changed = [*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)]
    assert given == written, "\n".join(["if this is meant, run: python -m tests.public_api", *changed])


def test_one_import_reaches_every_package_and_loads_none():
    code = (
        "import sys, elasticnas\n"
        "assert not [name for name in sys.modules if name.startswith(('torch', 'pydantic', 'elasticnas.'))]\n"
        "assert elasticnas.nn.Linear and elasticnas.cost.Flops and elasticnas.search.pareto\n"
        "assert all(getattr(elasticnas, name).__name__ == f'elasticnas.{name}' for name in elasticnas._PACKAGES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_dir_lists_public_names_only():
    import easrec

    assert dir(elasticnas) == sorted({"__version__", *elasticnas.__all__, *elasticnas._PACKAGES})
    assert dir(easrec) == sorted(easrec.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_says_what_it_is(package):
    module = importlib.import_module(package)
    assert module.__doc__ and len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.isclass(thing) and not inspect.isroutine(thing):
            continue
        members = [v for k, v in vars(thing).items() if not k.startswith("_")] if inspect.isclass(thing) else []
        own = [v for v in members if inspect.isfunction(v) or isinstance(v, (property, classmethod, staticmethod))]
        for each in (thing, *own):
            assert (inspect.getdoc(each) or "").strip(), f"{package}.{name}: {each} has no docstring"
        # a dataclass without a docstring of its own shows its signature
        assert not inspect.getdoc(thing).startswith(f"{name}("), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", elasticnas._PACKAGES)
def test_what_a_package_imports_from_its_modules_is_public(package):
    """A name that ``__init__`` imports and does not list would be public by accident."""
    module = importlib.import_module(f"elasticnas.{package}")
    names = {
        k
        for k, v in vars(module).items()
        if not k.startswith("_") and getattr(v, "__module__", "").startswith(f"elasticnas.{package}")
    }
    assert names <= set(module.__all__)
