"""A small vision transformer on scikit-learn's handwritten digits, made elastic as it is."""
