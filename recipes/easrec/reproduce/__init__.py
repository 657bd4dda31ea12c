"""The paper's experiment: every method on the same data, and the tables and plots made from their results."""

from easrec.reproduce.methods import METHODS, SCALES, TABLES, Method, methods_of
from easrec.reproduce.reproduce import reproduce, set_by_methods

__all__ = ["METHODS", "SCALES", "TABLES", "Method", "methods_of", "reproduce", "set_by_methods"]
