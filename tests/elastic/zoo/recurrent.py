"""Decoders without attention."""

from torch import Tensor, nn

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import from_config, ids

MAMBA = {"hidden": "hidden_size", "expand": "expand", "depth": "num_hidden_layers"}
RWKV = {"hidden": "hidden_size", "inner": "intermediate_size", "depth": "num_hidden_layers"}


def without_cache(sizes: Sizes) -> dict[str, Tensor | bool]:
    """Its cache is written in place, which has no gradient."""
    return {**ids(sizes), "use_cache": False}


def rwkv(**sizes: int) -> nn.Module:
    """Without rescaling, which would write to the weights in a forward pass."""
    return from_config("RwkvForCausalLM", "RwkvConfig", RWKV, context_length=16, rescale_every=0)(**sizes)


FAMILIES = [
    Family(
        name="Mamba",
        build=from_config("MambaForCausalLM", "MambaConfig", MAMBA, time_step_rank=3, state_size=5),
        full={"hidden": 32, "expand": 3, "depth": 2},
        spaces={"hidden": {"hidden": 24}, "inner": {"expand": 2}, "depth": {"depth": 1}},
        example=ids,
        # projected_states.chunk(2): the states and their gate
        layouts={
            "*.mixer.in_proj.weight": {0: "2 * width"},
            "*.mixer.out_proj.weight": {1: "width"},
            "*.mixer.conv1d.*": {0: "width"},
            "*.mixer.A_log": {0: "width"},
            "*.mixer.D": {0: "width"},
            "*.mixer.x_proj.weight": {1: "width"},
            "*.mixer.dt_proj.*": {0: "width"},
        },
        derive=lambda sizes: {"width": sizes["expand"] * sizes["hidden"]},
        note="inner: the factor of hidden",
    ),
    Family(
        name="RWKV",
        build=rwkv,
        full={"hidden": 32, "inner": 48, "depth": 3},
        spaces={"hidden": {"hidden": 24}, "inner": {"inner": 40}, "depth": {"depth": 2}},
        example=without_cache,
        # key, value and receptance are of the hidden size, but their units are not those of the residual stream
        layouts={
            "*.attention.key.weight": {0: "attended"},
            "*.attention.value.weight": {0: "attended"},
            "*.attention.receptance.weight": {0: "attended"},
            "*.attention.output.weight": {1: "attended"},
            "*.attention.time_decay": {0: "attended"},
            "*.attention.time_first": {0: "attended"},
        },
        derive=lambda sizes: {"attended": sizes["hidden"]},
        note="rescale_every is 0",
    ),
]
