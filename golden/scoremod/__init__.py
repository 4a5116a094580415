"""Score programs in integers."""

from golden.scoremod.builder import Builder, ProgramError
from golden.scoremod.evaluate import evaluate
from golden.scoremod.program import Argument, Format, Node, Program

__all__ = ["Argument", "Builder", "Format", "Node", "Program", "ProgramError", "evaluate"]
