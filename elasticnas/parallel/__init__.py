"""Several processes: the group that torch.distributed has started, and models that DDP or FSDP2 share among them."""

from elasticnas.parallel.agreement import on_any, on_first, require_same
from elasticnas.parallel.group import average, gathered, mean, rank, refuse, require_group, size, total
from elasticnas.parallel.model import Whole, is_sharded, prepared, refuse_sharded, unwrapped, wrap
from elasticnas.parallel.sharding import full_state_dict, sharded_like, whole

__all__ = [
    "Whole",
    "average",
    "full_state_dict",
    "gathered",
    "is_sharded",
    "mean",
    "on_any",
    "on_first",
    "prepared",
    "rank",
    "refuse",
    "refuse_sharded",
    "require_group",
    "require_same",
    "sharded_like",
    "size",
    "total",
    "unwrapped",
    "whole",
    "wrap",
]
