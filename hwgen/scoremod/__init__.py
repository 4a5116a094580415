"""Score functions: traced from Python, run by the integer model, lowered to hardware."""

from hwgen.scoremod.arguments import BiasTensor, Parameter, Table
from hwgen.scoremod.trace import Traced, trace
from hwgen.scoremod.values import exp2, logical_and, logical_not, logical_or, maximum, minimum, tanh, where

__all__ = [
    "BiasTensor",
    "Parameter",
    "Table",
    "Traced",
    "exp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "tanh",
    "trace",
    "where",
]
