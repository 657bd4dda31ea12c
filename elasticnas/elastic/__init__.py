"""elastify: turn an unchanged model into a supernet whose sub-networks run on views of its weights."""

from elasticnas.elastic.coverage import Coverage
from elasticnas.elastic.elastify import elastify
from elasticnas.elastic.importance import Reordering, reorder
from elasticnas.elastic.model import ElasticModel

__all__ = ["Coverage", "ElasticModel", "Reordering", "elastify", "reorder"]
