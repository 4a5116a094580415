"""Proofs about components as they are emitted: `python -m rtl_tests.formal`, or `make formal`."""
