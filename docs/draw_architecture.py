"""Draws ``docs/architecture.md`` from the imports of ``elasticnas`` and the recipes."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
LIBRARY = "elasticnas"
ENTRANCES = ("__init__", "__main__")

TEXT = """# Architecture

Every folder or file of `elasticnas` and the recipes, and what each imports. An arrow leads from the one that imports to
the one that is imported. Arrows that follow from others are left out: where A imports B and B imports C, there is no
arrow from A to C. Drawn from the imports by `python docs/draw_architecture.py`; a test compares the page with the code.

```mermaid
{graph}
```

| part | what it is | imports |
|---|---|---|
{rows}
"""


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports, those for type checkers included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def parts() -> dict[str, list[Path]]:
    """Files of each part, by its name: a folder or file of the library, or a recipe."""
    found = {}
    for path in sorted((ROOT / LIBRARY).iterdir()):
        if path.suffix == ".py" and path.stem not in ENTRANCES:
            found[path.stem] = [path]
        elif (path / "__init__.py").exists():
            found[path.name] = sorted(path.rglob("*.py"))
    for plugin in sorted((ROOT / "recipes").rglob("plugin.py")):
        name = ".".join(plugin.parent.relative_to(ROOT / "recipes").parts)
        found[name] = sorted(plugin.parent.rglob("*.py"))
    return found


def edges(files: dict[str, list[Path]]) -> dict[str, set[str]]:
    """The parts of the library that each part imports."""
    found = {}
    for name, paths in files.items():
        modules = {module for path in paths for module in imported(path)}
        targets = {module.split(".")[1] for module in modules if module.startswith(f"{LIBRARY}.")}
        found[name] = (targets & files.keys()) - {name}
    return found


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows that follow from others."""

    def reachable(start: str) -> set[str]:
        return graph[start].union(*(reachable(target) for target in graph[start]))

    below = {name: reachable(name) for name in graph}
    return {name: {t for t in targets if not any(t in below[o] for o in targets)} for name, targets in graph.items()}


def summary(paths: Iterable[Path]) -> str:
    """The first line of the docstring that stands for a part."""
    files = list(paths)
    first = next((path for path in files if path.name == "__init__.py"), files[0])
    text = ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("|", "\\|")


def page() -> str:
    """The whole page."""
    files = parts()
    graph = edges(files)
    arrows = reduced(graph)
    nodes = {name: name.replace(".", "_") for name in files}
    drawn = ["graph TD", *(f'    {node}["{name}"]' for name, node in nodes.items())]
    drawn += [f"    {nodes[name]} --> {nodes[target]}" for name in files for target in sorted(arrows[name])]
    rows = [f"| `{name}` | {summary(files[name])} | {', '.join(sorted(graph[name])) or '-'} |" for name in files]
    return TEXT.format(graph="\n".join(drawn), rows="\n".join(rows))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
