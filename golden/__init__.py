"""The meaning of attention in NumPy: number formats, exact references, the bit-exact model and error measures.

Nothing in here knows about hardware generation. Only NumPy and the standard library are imported.
"""
