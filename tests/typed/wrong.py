"""Lines that the checkers must refuse: those marked as errors, and no others."""

import random
from typing import Literal

import torch

import easrec
import elasticnas
import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Cost, Flops
from elasticnas.search import DARTS, Problem, SearchSettings
from tests.typed.network import Encoder, Head, Net, arch, axes, supernet
from tests.typed.searching import Depth, problem, result


class Other(Space):
    hidden: Literal[2, 1]


class Short(Cost[Encoder]):
    unit = "layers"

    def compute(self, arch: Other) -> float:  # error
        return float(arch.hidden)


other = Other.largest()
count: int = 0
text: str = ""

elasticnas.extrct(supernet, arch)  # error
elasticnas.serach  # error
easrec.Recomender  # error
easrec.run().networks["found"].architecture.deph  # error
easrec.run().networks["fuond"]  # error
easrec.Recommender.load("runs").recommend([[7, 3]], top=3)  # error
axes.hiden  # error
axes.head.widht  # error
axes.named("hidden").optoins  # error
elasticnas.axes_of(supernet).hiden  # error
result.best.hiden  # error
result.bst  # error
result.found.architecture.deph  # error
text = result.best.hidden  # error
text = Encoder.largest()  # error
count = Encoder.sample(random.Random(0)).keep  # error
Encoder(hidden=8)  # error
Head(width=8, hight=3)  # error
Encoder.assignment(other)  # error
axes.at(other)  # error
axes.masked([other])  # error
axes.relaxed({"hidden": 1})  # error
Depth(supernet)(other)  # error
Flops[Encoder](supernet, torch.zeros(1))(other)  # error
DARTS().search(supernet)  # error
DARTS().search(problem, {"steps": 3})  # error
SearchSettings(stpes=3)  # error
Problem(supernet, costs={"flops": Depth})  # error
count = elasticnas.load("folder", Net)  # error
elasticnas.load("folder")  # error
elasticnas.extract(supernet, {"hidden": 8})  # error
elasticnas.save(supernet, {"hidden": 8}, "folder")  # error
elasticnas.elastify(Net, Net)  # error
enn.Linear("hidden", 3)  # error
enn.FeedForward(axes.hidden, axes.inner, activation="gleu")  # error
Net(other)  # error
