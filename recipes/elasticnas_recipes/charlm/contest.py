"""The task of ``elasticnas compare`` on a byte-level language model."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from elasticnas.study import Study
from elasticnas_recipes.charlm.config import Config
from elasticnas_recipes.charlm.corpus import Corpus, read_corpus, standard_library
from elasticnas_recipes.charlm.task import study

__all__ = ["task"]


def task(
    seed: int, device: torch.device, data: list[str] | None = None, glob: str = "*.txt", **settings: Any
) -> Study[Any]:
    """Return the study of a corpus with a seed.

    Args:
        seed: Seed of weights, batches and architectures; the split of the corpus is always that of seed 0.
        device: Device of the supernet.
        data: Text files or folders; None for Python's standard library.
        glob: Pattern of the files to read in a folder.
        **settings: Fields of :class:`~elasticnas_recipes.charlm.config.Config`, such as ``length``.
    """
    config = Config(**settings)
    config = config.model_copy(update={"study": config.study.model_copy(update={"seed": seed})})
    made, _ = study(config, _corpus(tuple(data or ()), glob, config.length, config.most_bytes), device)
    return made


@cache
def _corpus(data: tuple[str, ...], glob: str, length: int, most: int) -> Corpus:
    paths = [Path(path) for path in data] if data else standard_library()
    return read_corpus(paths, glob if data else "*.py", length, most, 0)
