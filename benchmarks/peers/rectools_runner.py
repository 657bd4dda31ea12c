"""Training and recommending of RecTools' SASRec, in the environment of ``rectools.txt``, without imports from here.

``serve.py`` calls:

* ``open`` sequences, settings, threads: read ``{user: items}``; the last two items of each are left out of training.
* ``train`` batches, seed: train a new network on some batches of an epoch, after one of warm-up.
* ``recommend`` top: recommend unseen items to all users, after all but the last item, by the network of ``train``.
* ``epoch`` top, seed: train the network of this seed for one more epoch, and recommend after all but the last two.
"""

import json
import logging
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

SHOWN = (
    "n_blocks",
    "n_heads",
    "n_factors",
    "session_max_len",
    "dropout_rate",
    "loss",
    "batch_size",
    "lr",
    "recommend_batch_size",
)


def trainer(batches: int | None) -> Any:
    """Return RecTools' default trainer with a limit of batches per epoch, and with a clock."""
    from pytorch_lightning import Trainer

    return Trainer(
        max_epochs=1,
        min_epochs=1,
        limit_train_batches=batches,
        deterministic=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        devices=1,
        accelerator="cpu",
        callbacks=[clock()],
    )


def clock() -> Any:
    """Return a callback that notes the start of each epoch, the end of each batch, and its number of targets."""
    from pytorch_lightning import Callback

    class Clock(Callback):
        def __init__(self) -> None:
            self.started, self.ends, self.targets = 0.0, [], []

        def on_train_epoch_start(self, *_: Any) -> None:
            self.started, self.ends, self.targets = time.perf_counter(), [], []

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
            self.targets.append(int((batch["y"] != 0).sum()))
            self.ends.append(time.perf_counter())

    return Clock()


class Side:
    """RecTools on the sequences of all users.

    Args:
        sequences: JSON file ``{user: items}``, items in order of time.
        settings: Arguments of ``SASRecModel``; others have their defaults.
        threads: Number of torch threads.
    """

    def __init__(self, sequences: str, settings: dict[str, Any], threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
            logging.getLogger(name).setLevel(logging.ERROR)
        users = json.loads(Path(sequences).read_text(encoding="utf-8"))
        self.settings, self.users = settings, list(users)
        self.training, self.history = (dataset(users, without) for without in (2, 1))
        self.model, self.climbing, self.climbing_seed = None, None, None

    def _model(self, seed: int, batches: int | None = None) -> Any:
        from pytorch_lightning import seed_everything
        from rectools.models import SASRecModel

        seed_everything(seed, verbose=False)
        return SASRecModel(**self.settings, get_trainer_func=trainer, get_trainer_func_kwargs={"batches": batches})

    def describe(self) -> dict[str, Any]:
        model = self._model(0)
        model.data_preparator.process_dataset_train(self.training)
        kept = model.data_preparator.train_dataset.interactions.df
        names = ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")
        return {
            "versions": {**{name: version(name) for name in names}, "python": sys.version.split()[0]},
            "settings": {name: getattr(model, name) for name in SHOWN},
            "threads": torch.get_num_threads(),
            "interactions": len(self.training.interactions.df),
            "targets": len(kept) - kept["user_id"].nunique(),
            "items": len(model.data_preparator.get_known_item_ids()),
            "batches": len(model.data_preparator.get_dataloader_train()),
            "users": len(self.users),
        }

    def train(self, batches: int, seed: int) -> dict[str, Any]:
        self.model = self._model(seed, batches + 1)
        self.model.fit(self.training)
        noted = self.model.fit_trainer.callbacks[0]
        return {
            "seconds": noted.ends[-1] - noted.ends[0],
            "targets": sum(noted.targets[1:]),
            "batches": len(noted.ends) - 1,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    def recommend(self, top: int) -> dict[str, Any]:
        started = time.perf_counter()
        table = self._recommended(self.model, self.history, top)
        return {"seconds": time.perf_counter() - started, "users": table["user_id"].nunique(), "rows": len(table)}

    def epoch(self, top: int, seed: int) -> dict[str, Any]:
        if self.climbing_seed != seed:
            self.climbing, self.climbing_seed = self._model(seed), seed
        self.climbing.fit_partial(self.training, min_epochs=1, max_epochs=1)
        noted = self.climbing.fit_trainer.callbacks[0]
        table = self._recommended(self.climbing, self.training, top)
        lists = {user: rows["item_id"].tolist() for user, rows in table.groupby("user_id", sort=False)}
        return {"seconds": noted.ends[-1] - noted.started, "targets": sum(noted.targets), "lists": lists}

    def _recommended(self, model: Any, history: Any, top: int) -> Any:
        """Return RecTools' table, best items first."""
        return model.recommend(users=self.users, dataset=history, k=top, filter_viewed=True)


def dataset(users: dict[str, list[str]], without: int) -> Any:
    """Return RecTools' dataset of all items but the last ones of every user."""
    import numpy as np
    import pandas as pd
    from rectools.dataset import Dataset

    rows = [(user, item) for user, items in users.items() for item in items[:-without]]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    frame["weight"] = 1.0
    frame["datetime"] = pd.to_datetime(np.arange(len(frame)), unit="s")
    return Dataset.construct(frame)


open_side = Side
