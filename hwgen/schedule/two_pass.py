"""2-pass attention: the 3-pass cascade with its division put off to the result, in FLAT's place and time.

Putting the division off joins the second and the third pass, so that three operations an element are left of four. The
rows of scores still have to be kept between the passes.
"""

from __future__ import annotations

from dataclasses import replace

from golden.exact import Shape
from hwgen.schedule.flat import Mapping, flat
from hwgen.schedule.parts import Schedule


def two_pass(shape: Shape, mapping: Mapping | None = None) -> Schedule:
    """Raises ScheduleError if there is no published mapping for this length and none is given."""
    return replace(flat(shape, mapping, deferred_division=True), name="2-pass")
