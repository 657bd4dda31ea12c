"""The public names of the library with their signatures, as tests/public_api.txt lists them.

``python -m tests.public_api`` writes the list anew.
"""

from collections.abc import Iterator
from pathlib import Path

import griffe

import elasticnas

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("public_api.txt")


def listed() -> str:
    """What every ``__all__`` of a package names: functions, classes with their methods and properties, and values."""
    loader = griffe.GriffeLoader(search_paths=[ROOT, ROOT / "recipes"], allow_inspection=False)
    root, recipe = loader.load("elasticnas"), loader.load("easrec")
    loader.resolve_aliases(external=False)
    packages = [root, *(root[name] for name in elasticnas._PACKAGES), recipe]
    return "".join(f"{line}\n" for package in packages for line in _package(package))


def _package(package: griffe.Module) -> Iterator[str]:
    yield package.path
    for name in sorted(str(export) for export in package.exports or ()):
        found = package[name]
        if package.path == "elasticnas" and found.is_alias:  # described where it comes from
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
        yield f"{kind}{found.name}: {found.annotation}{default}"


def _of_private_bases(found: griffe.Object | griffe.Alias) -> dict[str, griffe.Object | griffe.Alias]:
    """Settings that two public classes share are listed with each."""
    members = {name: member.final_target for name, member in found.inherited_members.items()}
    return {name: member for name, member in members.items() if member.parent.name.startswith("_")}


if __name__ == "__main__":
    LIST.write_text(listed(), encoding="utf-8")
