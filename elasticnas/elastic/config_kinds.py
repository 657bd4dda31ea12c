"""config_difference: whether a model's config describes its chosen layers, as ``from_pretrained`` needs it."""

import copy
from typing import Any

import torch
from torch import nn

from elasticnas.elastic.kept import KEPT
from elasticnas.elastic.kinds import differences, kind_of

__all__ = ["config_difference"]


def config_difference(network: Any) -> str | None:
    """Return how a layer of a model made from the config differs from the network's, as text; None if none does.

    Only for networks with chosen layers of other kinds than ``build`` makes, and with ``save_pretrained``.

    Args:
        network: An extracted network.
    """
    stacks = vars(network).get(KEPT, {})
    if not stacks or not hasattr(network, "save_pretrained"):
        return None
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        made: nn.Module = type(network)(copy.deepcopy(network.config))
    for path in stacks:
        pairs = zip(made.get_submodule(path).named_children(), network.get_submodule(path).children(), strict=True)
        for (name, mine), kept in pairs:
            ours, theirs = kind_of(mine), kind_of(kept)
            private = [key for key in (*ours, *theirs) if key[1].startswith("_")]  # such as marks of initialisation
            if found := differences(ours, theirs, private):
                return f"{path}.{name}.{found[0]}"
    return None
