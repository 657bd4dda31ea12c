"""Folders of finished runs, without the time that a run takes."""

import json

import torch

from easrec import Config, Recommender
from easrec.model import build
from easrec.space import space_for


def untrained_run(folder, data, model, seed=0, choices=None):
    """Write what a run on prepared data leaves, with a network of the given settings that nobody trained.

    It is the largest one, but for the choices that are given.
    """
    config = Config().updated({"model": model})
    torch.manual_seed(seed)
    space = space_for(config.model)
    arch = space(**space.largest().model_dump() | (choices or {}))
    network = build(config.model, len(data.item_ids) - 1, arch, True).eval()
    fingerprint = data.fingerprint_of(config.model.uses_times)
    Recommender(network, arch, config, data.item_ids, data=fingerprint).save(folder / "model")
    data.save(folder / "data.npz")
    content = {"data": fingerprint, "settings": config.recorded()}
    (folder / "run.json").write_text(json.dumps(content))
