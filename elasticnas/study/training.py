"""train_network: the plain training that every network of a comparison gets."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.errors import SearchError
from elasticnas.runtime import random_state, restore_random_state
from elasticnas.search import BatchStream, TrainerProgress, warm_cosine
from elasticnas.study.settings import StudySettings
from elasticnas.study.task import Task

__all__ = ["train_network"]


def train_network(
    network: nn.Module,
    task: Task,
    settings: StudySettings,
    steps: int,
    rate: float,
    checkpoint: Path,
    identity: dict[str, Any],
    progress: Callable[[TrainerProgress], None],
) -> float:
    """Train a plain network in place; a checkpoint that is there is taken up.

    Args:
        network: Its weights are the start.
        task: Loss and batches.
        settings: Clipping, seed, steps between checkpoints.
        steps: Optimizer steps.
        rate: Highest learning rate.
        checkpoint: File; removed at the end by the caller, once the figures are safe.
        identity: What a checkpoint must agree with.
        progress: Called after every step.

    Returns:
        Seconds of all runs together.

    Raises:
        SearchError: The loss is not finite.
        CheckpointError: The checkpoint is damaged or of another run.
    """
    optimizer, stream = torch.optim.Adam(network.parameters(), lr=rate, fused=True), BatchStream(task.train, "train")
    torch.manual_seed(settings.seed)
    step, before = 0, 0.0
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, identity)
        step, before = state["step"], state["seconds"]
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        stream.load_state_dict(state["stream"])
        restore_random_state(state["random"])
    network.train()
    started, first = time.perf_counter(), step
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = rate * warm_cosine(step, steps, steps // 20)
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(network, stream.next())
        if not bool(torch.isfinite(loss)):
            raise SearchError(f"the loss is {float(loss.detach())} at step {step}: lower the learning rate ({rate})")
        loss.backward()
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimizer.step()
        step += 1
        elapsed = time.perf_counter() - started
        if step % settings.checkpoint_every == 0 and step < steps:
            state = {"step": step, "seconds": before + elapsed, "network": network.state_dict()}
            state |= {"optimizer": optimizer.state_dict(), "stream": stream.state_dict(), "random": random_state()}
            save_checkpoint(checkpoint, state, identity)
        progress(TrainerProgress(step, steps, float(loss.detach()), elapsed / (step - first) * (steps - step)))
    network.eval()
    return before + time.perf_counter() - started
