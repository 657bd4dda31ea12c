"""The study of digit classification."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.search import Problem
from elasticnas.study import Study
from elasticnas_recipes.digits.config import Config
from elasticnas_recipes.digits.images import Images, load_images
from elasticnas_recipes.digits.model import build, scaled, supernet

__all__ = ["study"]


def study(config: Config, device: torch.device) -> tuple[Study, dict[str, Any]]:
    """Return the study, with accuracy as the metric, and facts of the data."""
    seed = config.study.seed
    parts, fingerprint = load_images(seed)
    train, validation, test = (parts[name].to(device) for name in ("train", "validation", "test"))
    torch.manual_seed(seed)
    problem = Problem(
        supernet().to(device),
        loss=lambda network, batch: F.cross_entropy(network(batch[0]), batch[1]),
        predict=lambda network, batch: network(batch[0]),
        train=lambda epoch: train.shifted(epoch, config.batch, seed),
        evaluate=lambda network: {"accuracy": float(_correct(network, validation).float().mean())},
        metric="accuracy",
        direction="maximise",
    )
    facts = {name: f"{len(part):,} images" for name, part in parts.items()}
    made = Study(
        problem,
        build,
        scaled,
        lambda network: {"accuracy": _correct(network, test)},
        torch.zeros(1, 8, 8),
        config.study,
        name="digits",
    )
    return made, facts | {"batch": config.batch, "fingerprint": fingerprint[:12]}


def _correct(network: nn.Module, images: Images) -> Tensor:
    """Return whether each image is classified correctly, ``(n,)``; accuracy is the mean."""
    found: Tensor = network(images.pixels).argmax(-1) == images.digits
    return found
