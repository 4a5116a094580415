"""Why an array idles."""

from collections.abc import Mapping
from enum import IntEnum


class Cause(IntEnum):
    """One cause for every cycle of a run in which an array gets no work.

    NO_JOB:   the machine works, but on none: it reads and checks a descriptor, or waits for the last writes
    FILL:     nothing has been issued since the run began
    SETUP:    the next block is not described yet
    WAIT_Q:   its queries are not loaded
    WAIT_K:   the key row is not there
    WAIT_V:   the value row is not there
    HAZARD:   the slot's state is still in the pipeline: too few slots are live
    WAIT_OUT: the slot's previous result has not been drained
    PAD:      a visit lasts longer than this array has folds
    DRAIN:    everything is issued; results are on their way out
    """

    FILL = 0
    SETUP = 1
    WAIT_Q = 2
    WAIT_K = 3
    WAIT_V = 4
    HAZARD = 5
    WAIT_OUT = 6
    PAD = 7
    DRAIN = 8
    NO_JOB = 9


def idle_cycles(counters: Mapping[str, int], array: str) -> dict[str, int]:
    """Idle cycles of the `score` or `value` array by cause, from the counters by name."""
    return {cause.name.lower(): counters[f"{array}_idle_{cause.name.lower()}"] for cause in Cause}


CAUSE_BITS = 4
BUSY = 15
"""The cause code of a cycle in which work is issued."""
