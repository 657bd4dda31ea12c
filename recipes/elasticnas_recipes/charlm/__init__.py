"""A small language model of bytes, made of elastic primitives, on text files of the user's."""
