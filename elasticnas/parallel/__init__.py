"""Several processes: the group that torch.distributed has started, and models that DDP or FSDP2 share among them."""

from elasticnas.parallel.agreement import on_any, on_first, require_same
from elasticnas.parallel.copies import unsharded
from elasticnas.parallel.group import average, gathered, launched, mean, rank, refuse, require_group, size, total
from elasticnas.parallel.model import Whole, prepared
from elasticnas.parallel.sharding import full_state_dict, is_shard, is_sharded, sharded_like, unwrapped, whole
from elasticnas.parallel.wrapping import Kind, kind_of, start_group, wrap, wrapped_as

__all__ = [
    "Kind",
    "Whole",
    "average",
    "full_state_dict",
    "gathered",
    "is_shard",
    "is_sharded",
    "kind_of",
    "launched",
    "mean",
    "on_any",
    "on_first",
    "prepared",
    "rank",
    "refuse",
    "require_group",
    "require_same",
    "sharded_like",
    "size",
    "start_group",
    "total",
    "unsharded",
    "unwrapped",
    "whole",
    "wrap",
    "wrapped_as",
]
