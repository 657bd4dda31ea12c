"""A small vision transformer on scikit-learn's digits, made elastic without changes to its code."""
