"""Lines that the checkers must refuse: those marked as errors, with what the message must contain, and no others."""

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

    def compute(self, arch: Other) -> float:  # error: Encoder
        return float(arch.hidden)


other = Other.largest()
count: int = 0
text: str = ""

elasticnas.extrct(supernet, arch)  # error: extrct
elasticnas.serach  # error: serach
easrec.Recomender  # error: Recomender
easrec.run().networks["found"].architecture.deph  # error: deph
easrec.run().networks["fuond"]  # error: fuond
easrec.Recommender.load("runs").recommend([[7, 3]], top=3)  # error: int
axes.hiden  # error: hiden
axes.head.widht  # error: widht
axes.named("hidden").optoins  # error: optoins
elasticnas.axes_of(supernet).hiden  # error: hiden
result.best.hiden  # error: hiden
result.bst  # error: bst
result.found.architecture.deph  # error: deph
text = result.best.hidden  # error: Literal[32, 16, 8]
text = Encoder.largest()  # error: Encoder
count = Encoder.sample(random.Random(0)).keep  # error: tuple[bool, ...]
Encoder(hidden=8)  # error: heads
Head(width=8, hight=3)  # error: hight
Encoder.assignment(other)  # error: Other
axes.at(other)  # error: Other
axes.masked([other])  # error: Other
axes.relaxed({"hidden": 1})  # error: Mapping[str, object]
Depth(supernet)(other)  # error: Other
Flops[Encoder](supernet, torch.zeros(1))(other)  # error: Other
DARTS().search(supernet)  # error: Net
DARTS().search(problem, {"steps": 3})  # error: SearchSettings
SearchSettings(stpes=3)  # error: stpes
Problem(supernet, costs={"flops": Depth})  # error: type[Depth]
count = elasticnas.load("folder", Net)  # error: Net
elasticnas.load("folder")  # error: build
elasticnas.extract(supernet, {"hidden": 8})  # error: dict[str, int]
elasticnas.save(supernet, {"hidden": 8}, "folder")  # error: Space
elasticnas.elastify(Net, Net)  # error: Net
enn.Linear("hidden", 3)  # error: Size
enn.FeedForward(axes.hidden, axes.inner, activation="gleu")  # error: gleu
Net(other)  # error: Other
