"""A small byte-level language model on the user's text files, built from elastic primitives."""
