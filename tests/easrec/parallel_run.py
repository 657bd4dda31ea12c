"""A small run of EASRec in float64, of one process or several; run by test_parallel.py."""

import json
import sys

import torch

import easrec

SETTINGS = {
    "model.length": 10,
    "model.dropout": 0.0,
    "model.hidden": 16,
    "model.inner": 16,
    "search.epochs": 1,
    "train.epochs": 2,
    "train.patience": 1,
    "negatives": 20,
}


def main():
    torch.set_default_dtype(torch.float64)
    folder, settings = sys.argv[1], json.loads(sys.argv[2])
    easrec.run(
        preset="demo",
        out=folder,
        settings=SETTINGS | settings,
        device="cpu",
        progress=None,
        resume="--resume" in sys.argv,
    )


if __name__ == "__main__":
    main()
