"""The paper's experiment: all methods on the same data, with tables and plots of their results."""

from easrec.reproduce.methods import METHODS, SCALES, TABLES, Method, methods_of
from easrec.reproduce.reproduce import reproduce, set_by_methods

__all__ = ["METHODS", "SCALES", "TABLES", "Method", "methods_of", "reproduce", "set_by_methods"]
