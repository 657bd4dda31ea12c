"""The public names of the library with their signatures, as tests/public_api.txt lists them.

``python -m tests.public_api`` rewrites the list.
"""

from collections.abc import Iterator
from pathlib import Path

import griffe

import elasticnas

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("public_api.txt")

# public modules besides the packages: README, docs and examples import from them or name what is in them
MODULES = (
    "elasticnas.checkpoint",
    "elasticnas.cli.options",
    "elasticnas.elastic.huggingface",
    "elasticnas.files",
    "elasticnas.nn.linear",
    "elasticnas.record",
    "elasticnas.report.html",
    "elasticnas.runtime",
    "elasticnas.settings",
    "elasticnas.testing.compositions",
    "easrec",
    "easrec.config",
    "easrec.contest",
    "easrec.data",
    "easrec.data.blocks",
    "easrec.data.synthetic",
    "easrec.data.tables",
    "easrec.model",
    "easrec.parts",
    "easrec.pipeline",
    "easrec.result",
    "easrec.searching",
    "easrec.space",
    "easrec.streaming",
    "easrec.training",
    "easrec.wide_space",
)


def names() -> list[str]:
    """Names of all public packages and modules."""
    return ["elasticnas", *(f"elasticnas.{name}" for name in elasticnas._PACKAGES), *MODULES]


def listed() -> str:
    """What public modules name in ``__all__``: functions, classes with their methods and properties, and values."""
    loader = griffe.GriffeLoader(search_paths=[ROOT, ROOT / "recipes"], allow_inspection=False)
    loader.load("elasticnas"), loader.load("easrec")
    loader.resolve_aliases(external=False)
    return "".join(f"{line}\n" for name in names() for line in _module(loader.modules_collection[name]))


def _module(module: griffe.Module) -> Iterator[str]:
    yield module.path
    for name in sorted(str(export) for export in module.exports or ()):
        found = module[name]
        if module.path == "elasticnas" and found.is_alias:  # described where it comes from
            yield f"    {name}, of {'.'.join(found.target_path.split('.')[:2])}"
            continue
        if found.is_module:  # checkpoint, in elasticnas.nn.checkpoint
            found = found[name]
        yield from (f"    {line}" for line in _lines(found))


def _lines(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    if found.is_function:
        kind = "".join(f"{label} " for label in ("classmethod", "staticmethod") if label in found.labels)
        for form in found.overloads or [found]:
            yield f"{kind}{form.signature(return_type=False)} -> {form.returns}"
    elif found.is_class:
        bases = ", ".join(str(base) for base in found.bases)
        yield f"class {found.signature() or found.name + '()'}{bases and ' of '}{bases}"
        for name, member in sorted({**_of_private_bases(found), **found.members}.items()):
            if not name.startswith("_") and (member.is_function or member.annotation is not None):
                yield from (f"    {line}" for line in _lines(member))
    else:
        kind = "property " if "property" in found.labels else ""
        default = "" if found.value is None else f" = {found.value}"
        annotation = "" if found.annotation is None else f": {found.annotation}"
        yield f"{kind}{found.name}{annotation}{default}"


def _of_private_bases(found: griffe.Object | griffe.Alias) -> dict[str, griffe.Object | griffe.Alias]:
    """Settings that two public classes share are listed with each."""
    members = {name: member.final_target for name, member in found.inherited_members.items()}
    return {name: member for name, member in members.items() if member.parent.name.startswith("_")}


if __name__ == "__main__":
    LIST.write_text(listed(), encoding="utf-8")
