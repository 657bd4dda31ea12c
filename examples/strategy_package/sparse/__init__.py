"""A plug-in of elasticnas: a gradient search with sparse mixtures."""

from sparse.strategy import Sparse, Sparsemax

__all__ = ["Sparse", "Sparsemax"]
