"""Training and evaluation of RecBole, in the environment of ``recbole.txt``, without imports from this project.

``serve.py`` calls:

* ``open`` data, threads, prefixes, attention_dropout, seed: read the interactions and create RecBole's dataset.
* ``train`` attention, batches: run the next batches of RecBole's training loop.
* ``evaluate`` attention, mode, users: run RecBole's evaluation on that many randomly chosen test users.

RecBole writes into the working directory: use a temporary one.
"""

import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SETTINGS = {
    "n_layers": 2,
    "n_heads": 4,
    "hidden_size": 128,
    "inner_size": 256,
    "MAX_ITEM_LIST_LENGTH": 200,
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "use_gpu": False,
    "show_progress": False,
}


def linrec(query: Tensor, key: Tensor, value: Tensor, real: Tensor) -> Tensor:
    """Return linear attention over a complete prefix, ``(B, h, N, k)`` each; ``real`` ``(B, N)`` is False at padding.

    Rows of elu(Q) and columns of elu(K) have the L2 norm ``1 / sqrt(k)``.

    Source: EASRec, arXiv:2402.00390v1, Eq. 5.
    """
    rows = F.normalize(F.elu(query), dim=-1)
    columns = F.normalize(F.elu(key) * real[:, None, :, None], dim=-2)
    return rows @ (columns.transpose(-1, -2) @ value) / query.shape[-1]


class LinRecAttention(nn.Module):
    """LinRec as a replacement of RecBole's ``MultiHeadAttention``, with its projections, dropout, residual and norm.

    Args:
        hidden: Model width d.
        heads: Attention heads h.
        dropout: Dropout rate of the output.
        eps: Epsilon of the norm.
    """

    def __init__(self, hidden: int, heads: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.dense = (nn.Linear(hidden, hidden) for _ in range(4))
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(hidden, eps=eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``x`` (B, N, d), RecBole's ``mask`` (B, 1, 1, N), 0 at real positions -> (B, N, d)."""
        split = [each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.query, self.key, self.value)]
        attended = linrec(*split, mask[:, 0, 0] == 0).transpose(1, 2).flatten(2)
        return self.norm(x + self.dropout(self.dense(attended)))


class Side:
    """RecBole on one file of interactions.

    Args:
        data: Tab-separated file with the columns ``user_id`` and ``item_id``; row order is time order.
        threads: Number of torch threads.
        prefixes: Number of prefixes in a training batch.
        attention_dropout: Dropout rate of softmax attention weights; None for RecBole's default.
        seed: Seed of RecBole, and of the choice of users to evaluate.
    """

    def __init__(self, data: str, threads: int, prefixes: int, attention_dropout: float | None, seed: int) -> None:
        import numpy as np
        from recbole.data import create_dataset
        from recbole.data.dataloader import TrainDataLoader
        from recbole.utils import init_seed

        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        started = time.perf_counter()
        self.settings: dict[str, Any] = SETTINGS | {"train_batch_size": prefixes, "seed": seed}
        if attention_dropout is not None:
            self.settings["attn_dropout_prob"] = attention_dropout
        _write_atomic(data)
        self.config = self._config("full")
        init_seed(seed, True)
        self.dataset = create_dataset(self.config)
        self.parts = self.dataset.build()
        self.loader = TrainDataLoader(self.config, self.parts[0], None, shuffle=True)
        self.rng, self.targets = np.random.default_rng(seed), 0
        self.batches, self.trainers = self._endless(), {}
        self.seconds = time.perf_counter() - started

    def _config(self, mode: str) -> Any:
        from recbole.config import Config

        evaluation = {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": mode}
        where = {"data_path": "data", "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
        return Config("SASRec", "interactions", config_dict=self.settings | where | {"eval_args": evaluation})

    def _endless(self) -> Iterator[Any]:
        while True:
            for batch in self.loader:
                self.targets += len(batch)
                yield batch

    def _trainer(self, attention: str) -> Any:
        """Return RecBole's trainer for its SASRec, or for SASRec with LinRec over the complete prefix."""
        from recbole.model.sequential_recommender import SASRec
        from recbole.trainer import Trainer

        if attention not in self.trainers:
            model = SASRec(self.config, self.dataset)
            if attention == "linrec":
                c = self.config
                sizes = c["hidden_size"], c["n_heads"], c["hidden_dropout_prob"], c["layer_norm_eps"]
                for layer in model.trm_encoder.layer:
                    layer.multi_head_attention = LinRecAttention(*sizes)
                model.apply(model._init_weights)
                model.get_attention_mask = partial(model.get_attention_mask, bidirectional=True)
            trainer = Trainer(self.config, model)
            trainer.eval_collector.data_collect(self.loader)
            self.trainers[attention] = trainer
        return self.trainers[attention]

    def describe(self) -> dict[str, Any]:
        import numpy
        import pandas
        import recbole
        import scipy

        versions = {each.__name__: each.__version__ for each in (recbole, torch, numpy, scipy, pandas)}
        names = (*SETTINGS, "train_batch_size", "eval_batch_size", "hidden_dropout_prob", "attn_dropout_prob")
        return {
            "versions": {**versions, "python": sys.version.split()[0]},
            "settings": {name: self.config[name] for name in names},
            "threads": torch.get_num_threads(),
            "prepare_seconds": self.seconds,
            "targets": len(self.parts[0]),
            "batches": len(self.loader),
            "users": len(self.parts[2]),
            "peak_memory_bytes": _peak_memory_bytes(),
        }

    def train(self, attention: str, batches: int) -> dict[str, Any]:
        trainer, before = self._trainer(attention), self.targets
        started = time.perf_counter()
        trainer._train_epoch(islice(self.batches, batches), 0)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "targets": self.targets - before, "peak_memory_bytes": _peak_memory_bytes()}

    def evaluate(self, attention: str, mode: str, users: int) -> dict[str, Any]:
        from recbole.data.utils import create_samplers, get_dataloader

        config, test = self._config(mode), self.parts[2]
        chosen = self.rng.choice(len(test), min(users, len(test)), replace=False)
        part = test.copy(test.inter_feat[chosen])
        sampler = create_samplers(config, self.dataset, self.parts)[2]
        loader = get_dataloader(config, "test")(config, part, sampler, shuffle=False)
        trainer = self._trainer(attention)
        started = time.perf_counter()
        metrics = trainer.evaluate(loader, load_best_model=False)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "users": len(chosen), "metrics": {name: float(metrics[name]) for name in metrics}}


def _write_atomic(data: str) -> None:
    """Write the interactions in RecBole's format, below the working directory."""
    import pandas

    frame = pandas.read_csv(data, sep="\t", usecols=["user_id", "item_id"], dtype=str)
    frame["timestamp"] = range(len(frame))
    target = Path("data/interactions/interactions.inter")
    target.parent.mkdir(parents=True)
    frame.columns = ["user_id:token", "item_id:token", "timestamp:float"]
    frame.to_csv(target, sep="\t", index=False)


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


open_side = Side
