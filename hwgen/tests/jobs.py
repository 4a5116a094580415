"""Jobs and their blocks, found by asking of single queries which keys they see."""

from collections.abc import Iterable
from itertools import product

from hwgen.params import Params
from hwgen.timing import resident_rows

Fields = dict[str, int]


def job(
    positions: int, keys: int, causal: int = 0, offset: int = 0, scale: tuple[int, int] = (5, -7), group: int = 1
) -> Fields:
    """A job's fields, for `group` heads; the scale is (mantissa, exponent)."""
    return {
        "queries": positions * group,
        "group": group,
        "keys": keys,
        "causal": causal,
        "offset": offset,
        "edge": -offset * group,
        "scale_mantissa": scale[0],
        "scale_exponent": scale[1],
    }


def visible(work: Fields, query: int) -> int:
    """How many keys a query sees: they are the first ones."""
    return min(work["keys"], max(0, position(work, query) + work["offset"] + 1)) if work["causal"] else work["keys"]


def position(work: Fields, query: int) -> int:
    """A query's place in its sequence: the heads of a position lie side by side."""
    return query // work["group"]


def blocks(work: Fields, params: Params) -> list[Fields]:
    """A job's blocks; without a causal mask `edge` means nothing and is left out."""
    cols, slots = params.config.cols, params.config.slots
    made: list[Fields] = []
    # Either all of a head's rows stay in the buffers, or none for longer than a block.
    resident = work["keys"] <= resident_rows(params)
    for first in range(0, work["queries"], cols * slots):
        queries = range(first, min(first + cols * slots, work["queries"]))
        used = -(-len(queries) // cols)
        # A slot is void if not even its last column could see key 0.
        void = 0
        while work["causal"] and void < slots and position(work, first + void * cols + cols - 1) + work["offset"] < 0:
            void += 1
        # A later query never sees less than an earlier one.
        keys = visible(work, queries[-1])
        there = made[-1]["keys"] if made and resident else 0
        block = {
            "first_query": first,
            "queries": len(queries),
            "slots": used - 1,
            "width": len(queries) - (used - 1) * cols,
            "void_slots": void,
            "keys": keys,
            "fresh": keys - there,
            "rewind": int(not resident),
            "keep": int(resident and queries.stop < work["queries"]),
            "causal": work["causal"],
            "group": work["group"],
            "scale_mantissa": work["scale_mantissa"],
            "scale_exponent": work["scale_exponent"],
            "job_last": int(queries.stop == work["queries"]),
        }
        # The first query of all positions that sees key 0 is so far behind the first slot that is not void.
        made.append(block | ({"edge": -work["offset"] * work["group"] - first - void * cols} if work["causal"] else {}))
    return made


def all_blocks(jobs: Iterable[Fields], params: Params) -> list[tuple[Fields, Fields]]:
    """(job, block) of every block of all jobs, in order."""
    return [(work, block) for work in jobs for block in blocks(work, params)]


def slot_queries(block: Fields, slot: int, params: Params) -> range:
    """The queries that a block keeps in a slot, one a column."""
    cols = params.config.cols
    first = block["first_query"] + slot * cols
    return range(first, min(first + cols, block["first_query"] + block["queries"]))


def drain_steps(jobs: list[Fields], params: Params, head_f: int | None = None) -> list[Fields]:
    """The beats of O in order: block, slot, column, elements of the row; `block` numbers the blocks."""
    groups = params.config.rows_f // params.config.out_beat
    beats = -(-(head_f or params.config.head_f) // params.config.out_beat)
    steps = []
    for i, (work, block) in enumerate(all_blocks(jobs, params)):
        for slot in range(block["slots"] + 1):
            queries = slot_queries(block, slot, params)
            void = int(not any(visible(work, q) for q in queries))
            for column, beat in product(range(len(queries)), range(beats)):
                last = int(beat == beats - 1)
                slot_last = int(last and column == len(queries) - 1)
                steps.append(
                    {
                        "slot": slot,
                        "column": column,
                        "fold": beat // groups,
                        "group": beat % groups,
                        "void": void,
                        "first": int(beat == 0),
                        "last": last,
                        "slot_last": slot_last,
                        "job_last": int(slot_last and slot == block["slots"] and block["job_last"]),
                        "block": i,
                    }
                )
    return steps
