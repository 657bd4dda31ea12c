"""Costs of architectures: counts, measurements, tables, expectations under probabilities, and budgets."""

from elasticnas.cost.budget import Budget, jointly_smallest, smallest_reachable
from elasticnas.cost.cost import Cost
from elasticnas.cost.discretise import most_probable
from elasticnas.cost.expectation import Expectation
from elasticnas.cost.flops import Flops, UncountedFlopsWarning, ValueDependentFlopsWarning, count_flops
from elasticnas.cost.latency import Latency, LatencyReport, Measurement
from elasticnas.cost.memory import Memory
from elasticnas.cost.params import Params
from elasticnas.cost.table import CostTable

__all__ = [
    "Budget",
    "Cost",
    "CostTable",
    "Expectation",
    "Flops",
    "Latency",
    "LatencyReport",
    "Measurement",
    "Memory",
    "Params",
    "UncountedFlopsWarning",
    "ValueDependentFlopsWarning",
    "count_flops",
    "jointly_smallest",
    "most_probable",
    "smallest_reachable",
]
