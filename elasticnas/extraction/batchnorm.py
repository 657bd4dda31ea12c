"""recalibrate: estimate the running statistics of BatchNorm anew for one architecture."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from elasticnas.calls import usage
from elasticnas.errors import ConfigError, ElasticNASError, describe_error
from elasticnas.runtime import warn

__all__ = ["norms_of", "recalibrate", "recalibrated", "warn_of_stale"]

Forward = Callable[[nn.Module, Any], object]


@torch.no_grad()
@usage("elasticnas.extraction.recalibrate(network, batches)")
def recalibrate(model: nn.Module, batches: Iterable[Any], forward: "Forward | None" = None) -> int:
    """Replace the running statistics of every BatchNorm by their mean over some batches.

    Statistics that a supernet gathered from many architectures fit none of them. For an extracted network, or for a
    supernet in the scope of an architecture, where the statistics of its active units change. BatchNorm runs in train
    mode, everything else (dropout) in eval mode; modes and momentum are restored.

    Args:
        model: The model.
        batches: Some hundred examples are enough; a batch is a tensor, a tuple of arguments, or a mapping of keyword
            arguments.
        forward: ``forward(model, batch)`` runs the model on other batches, such as a loss.

    Returns:
        The number of modules with running statistics; without any, no batch is read.

    Raises:
        ConfigError: There is no batch, or the model cannot run on one.
    """
    norms = norms_of(model)
    if not norms:
        return 0
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    model.eval()
    for norm in norms:
        norm.training, norm.momentum = True, None  # None: the mean of all batches
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.zero_()
    count = 0
    try:
        for batch in batches:
            _run(model, batch, forward)
            count += 1
    finally:
        for module, mode in modes.items():
            module.training = mode
        for norm, momentum in momenta.items():
            norm.momentum = momentum
    if not count:
        raise ConfigError(
            "there is no batch to estimate the statistics of BatchNorm from: give some, and a list or a "
            "loader rather than an iterator, which can be read only once"
        )
    return len(norms)


@contextmanager
def recalibrated(model: nn.Module, batches: Iterable[Any], forward: "Forward | None" = None) -> Iterator[None]:
    """Recalibrate for the time of a ``with`` block, and restore the statistics at the end."""
    saved = [(buffer, buffer.clone()) for norm in norms_of(model) for buffer in norm.buffers(recurse=False)]
    try:
        recalibrate(model, batches, forward)
        yield
    finally:
        for buffer, value in saved:
            buffer.copy_(value)


def norms_of(model: nn.Module) -> list[_NormBase]:
    """Return the modules with running statistics, which they use in eval mode."""
    return [module for module in model.modules() if isinstance(module, _NormBase) and module.running_mean is not None]


def warn_of_stale(model: nn.Module, way_out: str) -> None:
    """Warn if a model has running statistics that training has changed.

    Args:
        model: The model.
        way_out: What to do, as text.
    """
    norms = norms_of(model)
    if any(norm.num_batches_tracked is None or norm.num_batches_tracked > 0 for norm in norms):
        warn(
            f"{type(norms[0]).__name__} has running statistics of many architectures, which fit none of them: {way_out}"
        )


def _run(model: nn.Module, batch: Any, forward: "Forward | None") -> None:
    try:
        if forward is not None:
            forward(model, batch)
        elif isinstance(batch, Mapping):
            model(**batch)
        else:
            model(*(batch if isinstance(batch, (tuple, list)) else (batch,)))
    except ElasticNASError:
        raise
    except Exception as error:  # whatever a forward raises
        raise ConfigError(
            f"{type(model).__name__} cannot run on a batch for BatchNorm ({describe_error(error)}): give inputs alone, "
            "or forward=lambda model, batch: ..., which runs the model on a batch"
        ) from error
