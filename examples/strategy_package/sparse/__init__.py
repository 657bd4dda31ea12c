"""A plug-in of elasticnas: a search by gradients whose mixtures are sparse."""

from sparse.strategy import Sparse, Sparsemax

__all__ = ["Sparse", "Sparsemax"]
