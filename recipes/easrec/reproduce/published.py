"""Published figures, for comparison with measured ones.

Source: EASRec, arXiv:2402.00390v1, Tables III to V.
"""

__all__ = ["EFFICIENCY", "GATES", "OVERALL", "dataset_of"]

# Recall@10, MRR@10, NDCG@10 of validation, then of test; protocol pop100
OVERALL: dict[str, dict[str, tuple[float, ...]]] = {
    "ml-1m": {
        "Ours": (0.7152, 0.4207, 0.4910, 0.6796, 0.3991, 0.4661),
        "DARTS + SASRec": (0.7142, 0.4097, 0.4825, 0.6846, 0.3915, 0.4614),
        "ProxylessNAS + SASRec": (0.7013, 0.4025, 0.4740, 0.6775, 0.3819, 0.4525),
        "RecNAS + SASRec": (0.7094, 0.4090, 0.4809, 0.6791, 0.3852, 0.4554),
        "SASRec (w/o LinRec)": (0.7118, 0.4108, 0.4829, 0.6793, 0.3822, 0.4533),
        "FDSA (w/o LinRec)": (0.6970, 0.3946, 0.4668, 0.6677, 0.3747, 0.4447),
        "SASRecF (w/o LinRec)": (0.7144, 0.4166, 0.4877, 0.6783, 0.3941, 0.4620),
        "SASRec (w LinRec)": (0.7134, 0.4192, 0.4894, 0.6790, 0.3949, 0.4627),
        "FDSA (w LinRec)": (0.7046, 0.4099, 0.4803, 0.6753, 0.3921, 0.4597),
        "SASRecF (w LinRec)": (0.7099, 0.4176, 0.4876, 0.6815, 0.3978, 0.4657),
    },
    "gowalla": {
        "Ours": (0.9274, 0.6833, 0.7425, 0.9199, 0.6715, 0.7317),
        "DARTS + SASRec": (0.9250, 0.6694, 0.7315, 0.9179, 0.6588, 0.7217),
        "ProxylessNAS + SASRec": (0.9271, 0.6552, 0.7212, 0.9218, 0.6438, 0.7112),
        "RecNAS + SASRec": (0.9223, 0.6601, 0.7237, 0.9144, 0.6494, 0.7136),
        "SASRec (w/o LinRec)": (0.9241, 0.6598, 0.7238, 0.9159, 0.6468, 0.7119),
        "FDSA (w/o LinRec)": (0.8990, 0.6231, 0.6898, 0.8894, 0.6079, 0.6759),
        "SASRecF (w/o LinRec)": (0.9069, 0.6332, 0.6994, 0.8015, 0.6207, 0.6885),
        "SASRec (w LinRec)": (0.9247, 0.6818, 0.7408, 0.9174, 0.6679, 0.7284),
        "FDSA (w LinRec)": (0.8957, 0.6169, 0.6863, 0.8878, 0.6056, 0.6737),
        "SASRecF (w LinRec)": (0.9069, 0.6294, 0.6965, 0.8987, 0.6165, 0.6847),
    },
    "douban": {
        "Ours": (0.8919, 0.4879, 0.5851, 0.7854, 0.3886, 0.4833),
        "DARTS + SASRec": (0.8831, 0.4731, 0.5713, 0.7813, 0.3762, 0.4724),
        "ProxylessNAS + SASRec": (0.8854, 0.4710, 0.5701, 0.7830, 0.3787, 0.4746),
        "RecNAS + SASRec": (0.8783, 0.4720, 0.5693, 0.7888, 0.3797, 0.4773),
        "SASRec (w/o LinRec)": (0.8827, 0.4820, 0.5784, 0.7889, 0.3858, 0.4822),
        "FDSA (w/o LinRec)": (0.8870, 0.4740, 0.5729, 0.8050, 0.3825, 0.4827),
        "SASRecF (w/o LinRec)": (0.8856, 0.4775, 0.5756, 0.7625, 0.3758, 0.4684),
        "SASRec (w LinRec)": (0.8767, 0.4697, 0.5673, 0.7757, 0.3710, 0.4673),
        "FDSA (w LinRec)": (0.8823, 0.4757, 0.5733, 0.7813, 0.3794, 0.4751),
        "SASRecF (w LinRec)": (0.8859, 0.4791, 0.5769, 0.7879, 0.3780, 0.4757),
    },
}

# seconds of inference over the evaluation, GB of GPU memory
EFFICIENCY: dict[str, dict[str, tuple[float, float]]] = {
    "ml-1m": {
        "Ours": (14.8, 11.07),
        "DARTS + SASRec": (23.0, 16.31),
        "ProxylessNAS + SASRec": (18.3, 11.60),
        "RecNAS + SASRec": (18.5, 11.60),
        "SASRec (w/o LinRec)": (54.2, 28.26),
        "FDSA (w/o LinRec)": (92.8, 45.21),
        "SASRecF (w/o LinRec)": (49.8, 24.88),
        "SASRec (w LinRec)": (30.3, 19.47),
        "FDSA (w LinRec)": (24.9, 17.82),
        "SASRecF (w LinRec)": (24.8, 17.57),
    },
    "gowalla": {
        "Ours": (232.0, 5.54),
        "DARTS + SASRec": (268.0, 8.60),
        "ProxylessNAS + SASRec": (237.0, 6.39),
        "RecNAS + SASRec": (234.0, 7.40),
        "SASRec (w/o LinRec)": (383.0, 13.75),
        "FDSA (w/o LinRec)": (565.0, 21.68),
        "SASRecF (w/o LinRec)": (385.0, 14.03),
        "SASRec (w LinRec)": (393.0, 10.44),
        "FDSA (w LinRec)": (363.0, 13.45),
        "SASRecF (w LinRec)": (321.0, 10.49),
    },
    "douban": {
        "Ours": (70.0, 1.20),
        "DARTS + SASRec": (242.0, 7.11),
        "ProxylessNAS + SASRec": (109.0, 1.82),
        "RecNAS + SASRec": (82.0, 1.76),
        "SASRec (w/o LinRec)": (357.0, 9.42),
        "FDSA (w/o LinRec)": (563.0, 13.45),
        "SASRecF (w/o LinRec)": (365.0, 9.62),
        "SASRec (w LinRec)": (223.0, 6.86),
        "FDSA (w LinRec)": (195.0, 6.46),
        "SASRecF (w LinRec)": (201.0, 8.30),
    },
}

# Recall@10, MRR@10, NDCG@10; ML-1M, validation, pop100
GATES: dict[str, tuple[float, ...]] = {
    "Ours": (0.7151, 0.4207, 0.4910),
    "1 layer": (0.7043, 0.4059, 0.4771),
    "No Gates": (0.6977, 0.3875, 0.4615),
}


# Recall@10, NDCG@10; test, full ranking without seen items: HSTU's public experiments, arXiv:2402.17152
ANCHORS: dict[str, dict[str, tuple[float, float]]] = {
    "ml-1m": {
        "SASRec": (0.2853, 0.1603),
        "HSTU": (0.3097, 0.1720),
        "HSTU-large": (0.3294, 0.1893),
        "HSTU-large + MoL": (0.3412, 0.1979),
    }
}


def dataset_of(users: int, items: int) -> str | None:
    """Return the paper's dataset with these counts (without Table I's padding id); None if there is none."""
    sizes = {"ml-1m": (6_040, 3_706), "gowalla": (64_115, 164_532), "douban": (110_090, 28)}
    return next((name for name, size in sizes.items() if size == (users, items)), None)
