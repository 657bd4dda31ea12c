"""The saved recommender: weights, architecture, settings, original item ids, and item features if it uses them."""

import json
from collections.abc import Collection, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easrec.backbone import require_features
from easrec.config import Config
from easrec.data import ItemFeatures, pad
from easrec.evaluation import users_together
from easrec.model import EASRecModel, build
from easrec.space import space_for
from easrec.times import require_given, times_before
from elasticnas.checkpoint import first_difference
from elasticnas.errors import CheckpointError, DataError, ElasticNASError, short_repr
from elasticnas.extraction import load, save
from elasticnas.extraction.storage import ARCHITECTURE, WEIGHTS
from elasticnas.files import read_json, write_text

__all__ = ["Recommender", "digest"]

_SETTINGS, _MODEL = "recommender.json", "model"
_BATCH_USERS = 256  # fewer are as fast, more need memory
_COMPUTED = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


class Recommender:
    """A trained network that recommends items by their original ids.

    Args:
        network: A plain network.
        arch: Its architecture.
        config: Settings of its run.
        item_ids: Original ids by item number; entry 0 is padding.
        features: Features of the items, for a backbone that uses them.
        data: Fingerprint of the data it was trained on, to compare with the data of a run; None if unknown.
        refit: Whether it was trained on all interactions, so that no metric can be measured on them.

    Raises:
        ConfigError: The backbone uses features, and there are none.
    """

    def __init__(
        self,
        network: EASRecModel,
        arch: Any,
        config: Config,
        item_ids: list[str],
        features: ItemFeatures | None = None,
        data: str | None = None,
        refit: bool = False,
    ) -> None:
        require_features(config.model, features)
        self.features = features if config.model.has_features else None
        self.network, self.arch, self.config, self.item_ids = network.eval(), arch, config, item_ids
        self.data, self.refit = data, refit
        self._numbers = {item: number for number, item in enumerate(item_ids) if number}

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``architecture.json`` and ``recommender.json``."""
        folder = Path(folder)
        save(self.network, self.arch, folder)
        content: dict[str, Any] = {"config": self.config.recorded(), "items": self.item_ids}
        if self.features is not None:
            content["features"] = self.features.to_json()
        content |= {"data": self.data, "refit": self.refit}
        content["weights"] = _checksum_of_weights(folder)
        write_text(folder / _SETTINGS, json.dumps(content | {"sha256": digest(content)}) + "\n")

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | None = None) -> "Recommender":
        """Read a recommender that :meth:`save` wrote.

        Args:
            folder: The folder of a run, or the folder ``model/`` in it.
            device: Device of the network; None for the CPU.

        Raises:
            CheckpointError: Files are missing or damaged.
        """
        folder = Path(folder)
        if not (folder / _SETTINGS).exists() and (folder / _MODEL).is_dir():
            folder = folder / _MODEL
        path = folder / _SETTINGS
        try:
            content = read_json(path)
            if content.pop("sha256") != digest(content):
                raise CheckpointError(f"{path}: damaged (its checksum is wrong); run again")
            config, items = Config.model_validate(content["config"]), content["items"]
            _check_items(items)
            packed = content["features"] if config.model.has_features else None
            features = None if packed is None else ItemFeatures.from_json(packed, len(items) - 1)
        except FileNotFoundError:
            raise CheckpointError(
                f"{path}: not found; give the folder of a finished run, or its folder model/"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise CheckpointError(f"{path}: damaged ({reason}); run again") from None
        found: list[Any] = []

        def make(arch: Any) -> EASRecModel:
            # an architecture of the space that these settings define
            found.append(_of_space(folder, config, arch))
            return build(config.model, len(items) - 1, found[0], config.train.form == "causal", features)

        network = load(folder, make)
        assert isinstance(network, EASRecModel)
        if content.get("weights") not in (None, _checksum_of_weights(folder)):
            raise CheckpointError(
                f"{folder / WEIGHTS}: belongs to another model than {_SETTINGS} beside it; restore both, or run again"
            )
        _require_computable(folder / WEIGHTS, network)
        where = device or torch.device("cpu")
        return cls(
            network.to(where), found[0], config, items, features, content.get("data"), bool(content.get("refit"))
        )

    def require_run(self, folder: Path, config: Config, item_ids: list[str] | None, data: str | None = None) -> None:
        """Check that the network belongs to a run.

        Args:
            folder: Folder of the run, for messages.
            config: Settings of the run.
            item_ids: Item ids of the run's data; None if the data is not available.
            data: Fingerprint of the run's data; None if unknown.

        Raises:
            DataError: Settings or items differ; its recommendations could be wrong items.
        """
        way_out = f"restore the model of the run in {folder}, or run again"
        if difference := first_difference(config.recorded(), self.config.recorded()):
            raise DataError(
                f"{folder / 'model'}: belongs to another run than run.json ({difference} in the model); {way_out}"
            )
        if item_ids is None or item_ids == self.item_ids:
            if data is not None and self.data is not None and data != self.data:
                raise DataError(f"{folder / 'model'}: was trained on other data than the run's; {way_out}")
            return
        own, theirs = next(
            ((own, theirs) for own, theirs in zip(self.item_ids, item_ids, strict=False) if own != theirs),
            (f"{len(self.item_ids) - 1:,} items", f"{len(item_ids) - 1:,} items"),
        )
        raise DataError(
            f"{folder / 'model'}: has other items than data.npz ({own[:40]!r} instead of {theirs[:40]!r}); {way_out}"
        )

    def numbers(self, history: Sequence[str]) -> list[int]:
        """Return the item numbers of original ids.

        Raises:
            DataError: The history has no item, an id is not a string, or the model does not know it.
        """
        if isinstance(history, str) or not len(history):
            raise DataError(f"a history is a list of item ids, at least one (got {short_repr(history)})")
        if wrong := [item for item in history if not isinstance(item, str)]:
            raise DataError(
                f"item ids are strings, as in the data (got {short_repr(wrong[0])}, {type(wrong[0]).__name__})"
            )
        unknown = [item for item in history if item not in self._numbers]
        if unknown:
            some = ", ".join(self.item_ids[1:4])
            raise DataError(
                f"unknown item {unknown[0]!r}; the model knows {len(self._numbers):,} items, such as {some}"
            )
        return [self._numbers[item] for item in history]

    @torch.no_grad()
    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        top: int,
        repeats: bool = False,
        only: Collection[str] | None = None,
        times: Sequence[Sequence[int]] | None = None,
        at: int | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Return the items with the highest scores after each history, best first, as ``(original id, score)`` pairs.

        Args:
            histories: Original item ids in time order, at least one in each.
            top: Number of items.
            repeats: Whether to include items of the history.
            only: Original ids of the items that may be recommended; None for all.
            times: Seconds of the items of each history, for a network with a bias by time; None for others.
            at: Seconds of the recommendation, for a network that uses them (``time_bias=target``); None for
                others.

        Raises:
            DataError: ``only`` is one text or has no item, or times are missing, not used, not one for each item, or no
                seconds; else see :meth:`numbers`.
        """
        require_given(self.config.model.time_bias, self.network.time_bias, histories, times, at)
        if only is not None and (isinstance(only, str) or not len(only)):
            raise DataError(f"only is a collection of item ids, at least one, such as ['a'] (got {short_repr(only)})")
        allowed = None if only is None else self.numbers(list(only))
        numbers = [self.numbers(history) for history in histories]
        together = min(_BATCH_USERS, users_together(len(self.item_ids)))
        answers: list[list[tuple[str, float]]] = [[]] * len(numbers)
        # batch histories of similar length, to reduce padding
        order = sorted(range(len(numbers)), key=lambda user: min(len(numbers[user]), self.config.model.length))
        for first in range(0, len(order), together):
            users = order[first : first + together]
            batch = [numbers[user] for user in users]
            when = None if times is None else [times[user] for user in users]
            for user, row, history in zip(users, self._scores(batch, when, at), batch, strict=True):
                answers[user] = self.best(row, top, () if repeats else history, allowed)
        return answers

    def known(self, history: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the items of a history that the model knows, in order, and those that it does not."""
        known = [item for item in history if item in self._numbers]
        return known, [item for item in history if item not in self._numbers]

    def _scores(self, histories: list[list[int]], times: Sequence[Sequence[int]] | None, at: int | None) -> Tensor:
        length = self.config.model.length
        flat = np.concatenate([np.asarray(history[-length:], dtype=np.int32) for history in histories])
        stops = np.cumsum([min(len(history), length) for history in histories]).astype(np.int64)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int64)
        device = next(self.network.parameters()).device
        given = [torch.from_numpy(pad(flat, starts, stops)), torch.from_numpy(stops - starts)]
        if times is not None:
            given += times_before([list(each)[-length:] for each in times], at)
        return self.network.next_item(*(each.to(device) for each in given))

    def best(
        self, scores: Tensor, top: int, without: Collection[int] = (), only: Collection[int] | None = None
    ) -> list[tuple[str, float]]:
        """Return the items with the highest scores, best first, as ``(original id, score)`` pairs.

        Args:
            scores: ``(V + 1,)``, entry 0 for padding; changed in place.
            top: Number of items.
            without: Numbers of items to leave out.
            only: Numbers of the items that may be returned; None for all.
        """
        if only is not None:
            left_out = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
            left_out[torch.tensor(sorted(set(only)), device=scores.device)] = False
            scores[left_out] = float("-inf")
        if without:
            scores[torch.tensor(sorted(set(without)), device=scores.device)] = float("-inf")
        found = scores.topk(min(top, len(scores) - 1))
        pairs = zip(found.values.tolist(), found.indices.tolist(), strict=True)
        return [(self.item_ids[i], value) for value, i in pairs if value > float("-inf")]


def _checksum_of_weights(folder: Path) -> Any:
    """Return the checksum that the architecture beside the weights names: ``load`` has compared it with the weights."""
    return read_json(folder / ARCHITECTURE)["sha256"]


def _require_computable(path: Path, network: EASRecModel) -> None:
    """Check that weights are finite numbers of one type in which torch computes.

    Raises:
        CheckpointError: They are not.
    """
    used = {each.dtype for each in network.parameters()}
    if len(used) > 1 or not used <= _COMPUTED:
        found = ", ".join(sorted(map(str, used)))
        raise CheckpointError(f"{path}: weights of {found}; one type is needed, such as torch.float32: run again")
    for name, each in network.named_parameters():
        if not bool(each.isfinite().all()):
            raise CheckpointError(f"{path}: {name} is not finite, so no item has a score; train again")


def _check_items(items: Any) -> None:
    """Check the original ids of a file: distinct texts, the first for padding.

    Raises:
        ValueError: They are something else.
    """
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("its items are not texts")
    if len(items) < 2 or len(set(items)) < len(items):
        raise ValueError("its items are not one or more distinct ids after the padding")


def _of_space(folder: Path, config: Config, saved: Any) -> Any:
    """Return the saved architecture as one of the space that the settings define.

    Raises:
        CheckpointError: It is none, or its sizes are those of another architecture.
    """
    space = space_for(config.model)
    try:
        arch: Any = space(**{name: getattr(saved, name) for name in space.model_fields})
    except (ElasticNASError, AttributeError) as error:
        raise CheckpointError(f"{folder / ARCHITECTURE}: {error}; restore the model, or run again") from None
    for name in space.info().properties:
        if getattr(saved, name, None) != getattr(arch, name):
            raise CheckpointError(
                f"{folder / ARCHITECTURE}: {name} is {short_repr(getattr(saved, name, None))}, but {arch!r} has "
                f"{getattr(arch, name)}; restore the model, or run again"
            )
    return arch


def digest(content: dict[str, Any]) -> str:
    """Return the checksum of ``recommender.json``, computed without the checksum entry."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
