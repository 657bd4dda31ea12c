"""A sub-network in the supernet relative to the extracted network."""

from functools import partial
from typing import Any

import torch
from interval import ratio
from torch import Tensor, nn

from easrec.model import supernet
from elasticnas import axes_of, bind, extract
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Sub-network in the supernet"
TEXT = (
    "Time of the middle candidate at half the depth relative to the extracted network: the encoder with gates, sliced "
    "in a scope, including its opening. *Bound*: the network of `elasticnas.bind`, on the supernet's own weights."
)
_TARGETS = {"forward": (1.02, 1.05), "forward and backward": (1.02, 1.08)}


def measure(scale: Scale) -> Measured:
    """Measure large batches, in which computation dominates, and single sequences, in which calls do."""
    found, config = Measured(), scale.config()
    model = supernet(config, scale.items, True).eval()
    axes = axes_of(model)
    arch = axes.space(candidate=1, depth=max(1, scale.layers // 2))
    plain, bound = extract(model, arch, scale.ids(2)).eval(), bind(model, arch, scale.ids(2))
    for which, batch in enumerate((scale.together, 1)):
        ids, rounds = scale.ids(batch), scale.rounds * 2 if batch > 1 else scale.single_rounds
        for name, run in (("forward", _forward), ("forward and backward", _both)):
            forms = {
                "sliced": partial(_in_scope, axes, arch, run, model, ids),
                "bound": partial(run, bound, ids),
                "extracted": partial(run, plain, ids),
            }
            times = time_alternately(forms, rounds, scale.limit_s)
            for form, prefix in (("sliced", ""), ("bound", "bound, ")):
                label, values = f"{prefix}{name}, batch {batch}", ratio(times[form], times["extracted"])
                found.rows.append(Row(label, *values, _TARGETS[name][which], bound=1.0, rounds=len(times[form])))
            found.figures += medians(times, f"{name}, batch {batch}: ")
    return found


def _in_scope(axes: Any, arch: Any, run: Any, model: nn.Module, ids: Tensor) -> None:
    with axes.at(arch):
        run(model, ids)


@torch.no_grad()
def _forward(network: nn.Module, ids: Tensor) -> None:
    network(ids)


def _both(network: nn.Module, ids: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    network(ids).sum().backward()
