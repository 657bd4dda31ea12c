"""What is public is listed, documented, and changes only on purpose."""

import ast
import importlib
import inspect
import re
import subprocess
import sys

import pytest

import elasticnas
from tests.conftest import ROOT
from tests.documentation import PAGES, blocks
from tests.public_api import LIST, listed, names

GROUPS = {"elasticnas.recipes", "elasticnas.spaces", "elasticnas.strategies", "easrec.formats"}  # of entry points


def test_the_public_names_and_signatures_are_those_listed():
    given, written = listed().splitlines(), LIST.read_text(encoding="utf-8").splitlines()
    gone, new = [line for line in written if line not in given], [line for line in given if line not in written]
    changed = [*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)]
    assert given == written, "\n".join(["if this is meant, run: python -m tests.public_api", *changed])


def codes():
    """Every example, and every block of Python that README and docs show, with where it stands."""
    yield from ((path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "examples").rglob("*.py")))
    yield from ((block, block.code) for page in PAGES for block in blocks(page, "python"))


def imports(code):
    """Modules of this project that code imports, and names that it imports from them or reads from them."""
    bound = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            bound |= {each.asname or each.name: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, each.name) for each in node.names)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in bound:
            yield bound[ast.unparse(node.value)], node.attr


def recorded():
    """Public names of every module, read from the list: the lines that are indented once."""
    found, module = {}, ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            name = re.match(r"    (?:class )?(\w+)", line)  # a member of a class is indented twice
            found[module] |= {name[1]} if name else set()
        else:
            module, found[line] = line, set()
    return found


def test_what_docs_and_examples_import_is_recorded():
    public = recorded()
    modules = {name.rpartition(".")[::2] for name in public}
    used = {(*each, str(where)) for where, code in codes() for each in imports(code)}
    ours = {(module, name, where) for module, name, where in used if module.split(".")[0] in ("elasticnas", "easrec")}
    assert len(ours) > 100
    assert {
        (module, name, where)
        for module, name, where in ours
        if name not in public.get(module, ()) and (module, name) not in modules
    } == set()


def test_what_the_text_of_docs_names_is_recorded():
    """Such as `elasticnas.cli.options` and `elasticnas.nn.linear.project`: a module, a public name, or its member."""
    public = recorded()
    known = {f"{module}.{name}" for module, names in public.items() for name in names}
    for page in PAGES:
        for name in re.findall(r"`((?:elasticnas|easrec)(?:\.\w+)+)\b", page.read_text(encoding="utf-8")):
            member_of = name.rpartition(".")[0]
            assert name in known | GROUPS | {*public} or member_of in known - {*public}, f"{page.name}: {name}"


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


@pytest.mark.parametrize("package", names())
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
