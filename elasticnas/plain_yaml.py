"""Reading of YAML from strangers: bounded in length, depth and expansion."""

from typing import Any

import yaml

__all__ = ["parse_yaml"]

_LONGEST = 200_000  # characters; PyYAML reads about 100,000 in a second
_MOST = 20_000  # values, where each alias counts as what it refers to


def parse_yaml(text: str) -> Any:
    """Return the plain data of a YAML document.

    Raises:
        ValueError: It is not YAML of plain values, or is too long, too deep or too large; the message is one line.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{len(text):,} characters, of at most {_LONGEST:,}")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        count = _count(node, {})
        if count > _MOST:
            raise ValueError(f"{count:,} values when aliases are replaced, of at most {_MOST:,}")
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        # constructors of dates, numbers and mappings raise more than YAMLError
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def _count(node: Any, known: dict[int, int | None]) -> int:
    """Count the values of a tree with aliases replaced.

    Args:
        node: A node of PyYAML.
        known: Counts by identity of the node; None for a node that is being counted.
    """
    if id(node) in known:
        counted = known[id(node)]
        if counted is None:
            raise ValueError("its fields contain themselves; take the YAML alias out")
        return counted
    known[id(node)] = None
    below = node.value if isinstance(node, yaml.CollectionNode) else ()
    parts = [part for each in below for part in (each if isinstance(each, tuple) else (each,))]
    known[id(node)] = total = 1 + sum(_count(part, known) for part in parts)
    return total
