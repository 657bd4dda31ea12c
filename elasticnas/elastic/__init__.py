"""elastify: turn an unchanged model into a supernet whose sub-networks run on views of its weights."""

from elasticnas.elastic.coverage import Coverage
from elasticnas.elastic.elastify import elastify
from elasticnas.elastic.importance import Reordering, reorder
from elasticnas.elastic.layer_importance import LayerImportance, layer_importance
from elasticnas.elastic.model import ElasticModel

__all__ = ["Coverage", "ElasticModel", "LayerImportance", "Reordering", "elastify", "layer_importance", "reorder"]
