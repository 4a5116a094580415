"""Head dimensions as the core is told them, and the widths of a job's numbers."""

from __future__ import annotations

import pytest
from amaranth.hdl import Shape

from hwgen.control.job import geometry, geometry_layout, job_layout
from hwgen.tests.bench import tiny
from hwgen.tests.jobs import job

# Three folds of E, two of F; with one lane for all columns a visit never takes less than their number.
WIDE, NARROW = (tiny(cols=4, lanes=lanes, head_e=12, head_f=8) for lanes in (1, 4))


@pytest.mark.parametrize("head_e", range(1, 13))
def test_every_e(head_e: int) -> None:
    folds = (head_e + 3) // 4
    fields = geometry(NARROW, head_e, 1)
    assert fields == {"head_f": 1, "last_fold_e": folds - 1, "last_fold_f": 0, "last_step": folds - 1}
    assert geometry(WIDE, head_e, 1) == fields | {"last_step": 3}


@pytest.mark.parametrize("head_f", range(1, 9))
def test_every_f(head_f: int) -> None:
    folds = (head_f + 3) // 4
    fields = geometry(NARROW, 1, head_f)
    assert fields == {"head_f": head_f, "last_fold_e": 0, "last_fold_f": folds - 1, "last_step": folds - 1}
    assert geometry(WIDE, 1, head_f) == fields | {"last_step": 3}
    # Every field has room for it.
    view = geometry_layout(NARROW).from_bits(geometry_layout(NARROW).const(fields).as_bits())
    assert {name: int(view[name]) for name in fields} == fields


@pytest.mark.parametrize(
    ("head_e", "head_f", "message"),
    [(13, 8, "E must lie in 1 .. 12, not 13"), (0, 8, "E must lie"), (12, 9, "F must lie in 1 .. 8, not 9")],
)
def test_heads_that_do_not_fit(head_e: int, head_f: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^head dimension {message}"):
        geometry(NARROW, head_e, head_f)


@pytest.mark.parametrize("offset", [1 << 20, -(1 << 20)])
def test_the_largest_job_fits(offset: int) -> None:
    work = job(1 << 16, 1 << 20, 1, offset, group=1 << 12)
    assert (work["queries"], abs(work["edge"])) == (1 << 28, 1 << 32)
    for name, field in job_layout(NARROW):
        shape = Shape.cast(field.shape)
        low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
        assert low <= work[name] < high, name
