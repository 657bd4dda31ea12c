"""Numbers as text: counts with their noun, and large numbers with a prefix."""

__all__ = ["compact", "counted"]

_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"))


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: ``1 architecture``, ``2 architectures``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def compact(value: float) -> str:
    """Return a number in at most ten characters: ``27,136``, ``12.35 M``, ``0.8125``."""
    for size, prefix in _PREFIXES:
        if size <= abs(value) < 1e15:
            return f"{value / size:.4g}{prefix}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.4g}"
