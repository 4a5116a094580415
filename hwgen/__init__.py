"""Generator of a streaming one-pass attention accelerator."""

__version__ = "0.1.0"
