"""Jobs and their blocks, found by asking of single queries which keys they see."""

from collections.abc import Iterable
from itertools import product

from hwgen.params import Params

Fields = dict[str, int]


def job(queries: int, keys: int, causal: int = 0, offset: int = 0, scale: tuple[int, int] = (5, -7)) -> Fields:
    """A job's fields; the scale is (mantissa, exponent)."""
    return {
        "queries": queries,
        "keys": keys,
        "causal": causal,
        "offset": offset,
        "scale_mantissa": scale[0],
        "scale_exponent": scale[1],
    }


def visible(work: Fields, query: int) -> int:
    """How many keys a query sees: they are the first ones."""
    return min(work["keys"], max(0, query + work["offset"] + 1)) if work["causal"] else work["keys"]


def blocks(work: Fields, params: Params) -> list[Fields]:
    """A job's blocks; without a causal mask `edge` means nothing and is left out."""
    cols, slots = params.config.cols, params.config.slots
    made = []
    for first in range(0, work["queries"], cols * slots):
        queries = range(first, min(first + cols * slots, work["queries"]))
        used = -(-len(queries) // cols)
        # A slot is void if not even its last column could see key 0.
        void = 0
        while work["causal"] and void < slots and first + void * cols + cols - 1 + work["offset"] < 0:
            void += 1
        block = {
            "first_query": first,
            "queries": len(queries),
            "slots": used - 1,
            "width": len(queries) - (used - 1) * cols,
            "void_slots": void,
            # A later query never sees less than an earlier one.
            "keys": visible(work, queries[-1]),
            "causal": work["causal"],
            "scale_mantissa": work["scale_mantissa"],
            "scale_exponent": work["scale_exponent"],
            "job_last": int(queries.stop == work["queries"]),
        }
        # At key 0, column 0 of the first slot that is not void is this many keys short of seeing it.
        made.append(block | ({"edge": -(first + void * cols + work["offset"])} if work["causal"] else {}))
    return made


def all_blocks(jobs: Iterable[Fields], params: Params) -> list[tuple[Fields, Fields]]:
    """(job, block) of every block of all jobs, in order."""
    return [(work, block) for work in jobs for block in blocks(work, params)]


def slot_queries(block: Fields, slot: int, params: Params) -> range:
    """The queries that a block keeps in a slot, one a column."""
    cols = params.config.cols
    first = block["first_query"] + slot * cols
    return range(first, min(first + cols, block["first_query"] + block["queries"]))


def drain_steps(jobs: list[Fields], params: Params) -> list[Fields]:
    """The beats of O in order: block, slot, column, fold, group of rows; `block` numbers the blocks."""
    groups = params.config.rows_f // params.config.out_beat
    steps = []
    for i, (work, block) in enumerate(all_blocks(jobs, params)):
        for slot in range(block["slots"] + 1):
            queries = slot_queries(block, slot, params)
            void = int(not any(visible(work, q) for q in queries))
            for column in range(len(queries)):
                for fold, group in product(range(params.folds_f), range(groups)):
                    last = int((fold, group) == (params.folds_f - 1, groups - 1))
                    slot_last = int(last and column == len(queries) - 1)
                    steps.append(
                        {
                            "slot": slot,
                            "column": column,
                            "fold": fold,
                            "group": group,
                            "void": void,
                            "first": int((fold, group) == (0, 0)),
                            "last": last,
                            "slot_last": slot_last,
                            "job_last": int(slot_last and slot == block["slots"] and block["job_last"]),
                            "block": i,
                        }
                    )
    return steps
