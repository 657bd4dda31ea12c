"""The compared methods, as changes to one common configuration."""

from dataclasses import dataclass
from typing import Any

from elasticnas.errors import ConfigError

__all__ = ["METHODS", "SCALES", "TABLES", "Method", "methods_of"]

TABLES = ("3", "4", "5", "fig4", "differences")
LAMBDAS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_LAMBDA = 0.1  # the default


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        name: Name of its folder, also for ``--only``.
        label: Name in tables.
        changes: Changes to the configuration, by dotted name.
        tables: Tables that contain it.
        paper: Its row in the paper's tables; None if it has none.
        needs_features: Whether it needs features of the items.
        is_easrec: Whether it is a variant of EASRec, not a baseline.
        against: Name of the method that it is compared with in the table of differences.
    """

    name: str
    label: str
    changes: dict[str, Any]
    tables: tuple[str, ...]
    paper: str | None = None
    needs_features: bool = False
    is_easrec: bool = False
    against: str = "easrec"


_EASREC = {"model.attention": "linrec", "model.gate_input": "position"}
_LINREC = {"model.attention": "linrec"}
_PLAIN = {"model.gate_layers": 0, "model.attention": "softmax"}
# fixed architectures have two layers, like the paper's baselines
_HAND = {**_PLAIN, "search.strategy": "none", "search.budget": None, "model.layers": 2}
_FREE = {"search.budget": None}
# for searches that evaluate single architectures: as many as the space has
_DRAWN = {"search.random_architectures": 12}


def _easrec(
    name: str, label: str, tables: tuple[str, ...], paper: str | None = None, against: str = "easrec", **changes: Any
) -> Method:
    given = _EASREC | {key.replace("__", "."): value for key, value in changes.items()}
    return Method(name, label, given, tables, paper, is_easrec=True, against=against)


def _backbone(kind: str, label: str, linrec: bool) -> Method:
    changes = _HAND | {"model.backbone": kind} | (_LINREC if linrec else {})
    name, how = (f"{kind}-linrec", "w LinRec") if linrec else (kind, "w/o LinRec")
    row = f"{label} ({how})"
    return Method(name, row, changes, ("3", "4"), row, kind != "sasrec")


METHODS = (
    _easrec("easrec", "EASRec", ("3", "4", "5", "differences"), "Ours"),
    Method("darts", "DARTS + SASRec", {**_PLAIN, **_FREE, "search.strategy": "darts"}, ("3", "4"), "DARTS + SASRec"),
    Method(
        "darts2",
        "DARTS, second order, + SASRec",
        {**_PLAIN, **_FREE, "search.strategy": "darts", "search.order": 2},
        ("3", "4"),
    ),
    Method(
        "proxylessnas",
        "ProxylessNAS + SASRec",
        {**_PLAIN, "search.strategy": "proxylessnas"},
        ("3", "4"),
        "ProxylessNAS + SASRec",
    ),
    Method("recnas", "RecNAS + SASRec", {**_PLAIN, "search.strategy": "recnas"}, ("3", "4"), "RecNAS + SASRec"),
    _backbone("sasrec", "SASRec", False),
    _backbone("fdsa", "FDSA", False),
    _backbone("sasrecf", "SASRecF", False),
    _backbone("sasrec", "SASRec", True),
    _backbone("fdsa", "FDSA", True),
    _backbone("sasrecf", "SASRecF", True),
    Method("spos", "SPOS + SASRec", {**_PLAIN, **_DRAWN, "search.strategy": "spos"}, ("3", "4")),
    Method("random", "Random search + SASRec", {**_PLAIN, **_DRAWN, "search.strategy": "random"}, ("3", "4")),
    _easrec("easrec-softmax", "EASRec, softmax attention", ("3", "4"), model__attention="softmax"),
    _easrec(
        "easrec-pooled",
        "EASRec, softmax, gates that see the mean so far",
        ("3", "4"),
        model__attention="softmax",
        model__gate_input="pooled",
    ),
    _easrec(
        "easrec-hstu", "EASRec, HSTU attention as a choice", ("3", "4"), model__attention_choices=["linrec", "hstu"]
    ),
    _easrec(
        "easrec-largest",
        "EASRec, no search (largest network)",
        ("3", "4", "differences"),
        search__strategy="none",
        search__budget=None,
    ),
    Method(
        "easrec-random",
        "EASRec's space, random search",
        {**_EASREC, **_DRAWN, "search.strategy": "random"},
        ("3", "differences"),
    ),
    _easrec("gates-2", "EASRec, gates of 2 layers of full width", ("5",), "Ours", model__gate_rank=None),
    _easrec("gates-1", "EASRec, gates of 1 layer", ("5",), "1 layer", model__gate_layers=1),
    _easrec("gates-0", "EASRec, no gates", ("5",), "No Gates", model__gate_layers=0),
    *(
        _easrec(
            f"lambda-{value:g}",
            f"no budget, lambda {value:g}",
            ("fig4", "differences") if value == _LAMBDA else ("fig4",),
            search__penalty_weight=value,
            search__budget=None,
        )
        for value in LAMBDAS
    ),
    _easrec("from-scratch", "retrained from scratch", ("differences",), train__inherit=False),
    _easrec("blocks", "blocks mixed (paper), not soft masks", ("differences",), model__mixing="block"),
    _easrec(
        "training-batches",
        "architecture steps on training batches of their own, weights on all users",
        ("differences",),
        search__architecture_data="training",
    ),
    _easrec(
        "gates-after", "gates after the dense layers (authors' code)", ("differences",), model__gate_position="after"
    ),
    *(
        _easrec(
            name,
            f"no budget, lambda {value:g} for FLOPs {relative}",
            ("differences",),
            against=f"lambda-{_LAMBDA:g}",
            search__cost_unit=unit,
            search__penalty_weight=value,
            search__budget=None,
        )
        for name, unit, value, relative in (
            ("lambda-range-0.1", "range", _LAMBDA, "over their range"),
            ("lambda-range-0.01", "range", 0.01, "over their range"),  # the authors' code
            ("lambda-flops", "flops", _LAMBDA, "as they are (Eq. 15 to the letter)"),
        )
    ),
)

SCALES: dict[str, dict[str, Any]] = {
    "full": {
        "model": {"mixing": "mask", "gate_rank": 32},
        "search": {"epochs": 5, "batch": 32, "update_every": 5, "random_architectures": 5},
        "train": {"epochs": 20, "batch": 32, "validate_every": 2, "patience": 3},
        "compare": [],
    },
    "small": {
        "model": {"hidden": 64, "inner": 128, "length": 50, "mixing": "mask", "gate_rank": 16},
        "search": {"epochs": 4, "batch": 64, "update_every": 4, "random_architectures": 3},
        "train": {"epochs": 8, "batch": 64, "validate_every": 2, "patience": 3},
        "compare": [],
    },
}
"""``full``: Table II for ML-1M, adapted to two CPU cores like the preset ``ml-1m``; ``small``: minutes a run."""


def methods_of(table: str, features: bool) -> list[Method]:
    """Return the methods of a table, or of all tables; without item features, those that need them are left out.

    Raises:
        ConfigError: There is no such table.
    """
    if table not in (*TABLES, "all"):
        raise ConfigError(f"--table {table}: choose one of {', '.join(TABLES)}, all")
    chosen = [method for method in METHODS if table == "all" or table in method.tables]
    return [method for method in chosen if features or not method.needs_features]
