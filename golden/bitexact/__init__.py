"""The numbers contract in integers: what the hardware computes, bit for bit.

The modules follow the data: `numerics` (the parameters and the widths they imply), `convert` (float rows to block fixed
point), `exp2` (weights), `attention` (scores and the online softmax), `normalise` (division and output rounding).
"""

from golden.bitexact.attention import Job, Result, ScoreInputs, attend, attention, seen_pairs
from golden.bitexact.numerics import Numerics, ScaleCode

__all__ = ["Job", "Numerics", "Result", "ScaleCode", "ScoreInputs", "attend", "attention", "seen_pairs"]
