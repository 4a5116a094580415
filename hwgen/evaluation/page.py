"""The text of docs/results/evaluation.md around its tables."""

from __future__ import annotations

from hwgen.evaluation import accounting, ours, tables

FILE = "evaluation.md"


def page() -> str:
    """The whole page."""
    return "\n\n".join(part.strip() for part in parts()) + "\n"


def parts() -> tuple[str, ...]:
    return (
        INTRODUCTION.format(cores=ours.CORES),
        tables.means(),
        AGREEMENT,
        tables.agreement(),
        PERIODS,
        tables.periods(),
        SPEED,
        tables.latencies(),
        "Speed-up over the unfused baseline:",
        tables.speedups(),
        tables.ours_means(),
        USEFUL,
        tables.useful(),
        ALL_OPERATIONS,
        tables.all_operations(),
        "The 2-D array's time by Einsum, BERT, published / from the schedule:",
        tables.by_einsum(),
        TRAFFIC,
        tables.traffic(),
        BUFFERS,
        tables.buffers(),
        ENERGY,
        tables.energy_means(),
        "Joule, published accounting / all register files:",
        tables.joules(),
        "By all tables, 16K keys, all registers. FuseMax has 16-bit floating point, ours has integers of 18 bits:",
        tables.energy_by_table(),
        WHOLE_LAYERS,
        tables.whole_layers(),
        AREA,
        tables.areas(),
        FLATTERS,
        accounting.table(),
    )


INTRODUCTION = """
# Evaluation

Made by `make results`; every number comes from code. Encoders of BERT, TrXL, T5 and XLM, one layer, batch 64, as many
queries as keys, 1K to 1M of them. Baselines are those of FuseMax (MICRO 2024): *unfused*; *FLAT* (ASPLOS 2023) in its
re-validated mappings; *+Cascade*, the 1-pass cascade on FLAT's arrays; *+Architecture*, exponentials in the 2-D
array; *FuseMax*, tiles of four ages interleaved. *2-pass* is FLAT with its division put off to the result. All have
256x256 elements, 256 one-dimensional ones, 940 MHz and 400 x 2^30 B/s. Each is a piece of data
([schedules](../schedules.md)) from which one evaluation derives every number here.

*Ours* has as many multipliers: {cores} cores, each with a score array and a value array of 64x128 (65,536 in all,
where FuseMax's 65,536 elements do both products in turn), 8 slots, the same clock, and a port of 64 bytes a cycle
each, 224 GiB/s together. It has 512 softmax lanes (256 for heads of 128) instead of 256 one-dimensional elements. Its
time is that of the [model of the machine](../model.md), with fill, drain, hazards and 100 cycles of memory latency;
that of all others is the ideal steady state. The model is asked about one block of queries; between fill and drain
these cores never wait, so the rest is the schedule's, which a test holds to 16 cycles. [Why compared like
this](../decisions/equal-multipliers.md). All points are in [evaluation.csv](evaluation.csv).
"""

AGREEMENT = """
## Agreement with what was published

Largest deviation over all 24 points of each. Utilisations are known to three digits, all else to four. The products
of the unfused baseline were searched by an optimiser; here a rule stands for it. Published energies of long sequences
count additional reads of the buffer that the artifact's own comments put down to its tool.
"""

PERIODS = """
## Cycles of a tile

65,536 elements, 256 keys times 256 queries, M1 = M/256. Both products alone are 128 cycles at E=F=64 and 256 at 128.
"""

SPEED = """
## Speed of attention

![speed-up](speedup.svg)

TrXL and T5 have BERT's heads: their latencies are BERT's times 16/12 and 8/12.
"""

USEFUL = """
## Useful utilisation

![useful utilisation](utilisation.svg)

Multiplications of both products over cycles and multipliers.
"""

ALL_OPERATIONS = """
Every operation counted as work, as published: 2-D array / 1-D array.
"""

TRAFFIC = """
## Memory

Traffic off the chip, GiB. Ours keeps 1,024 queries a core and reads keys and values once for these, FuseMax up to
32,768; both need less than they have.
"""

BUFFERS = """
What is kept in the buffer at a time, KiB. FuseMax fills its buffer because it is there: it is as fast with 256 KiB,
or 512 for heads of 128. Ours is its rows of keys and values; queries and results are in the arrays and counted in
their area.
"""

ENERGY = """
## Energy

![energy](energy.svg)

Costs of the table `fusemax2024` (45 nm). The published accounting counts one register file of 65,536 and one of 256,
and no energy for the exponentials of +Cascade; the last column counts all. Ours is always counted whole, with integer
arithmetic ([how](../energy.md)).
"""

WHOLE_LAYERS = """
## End to end

![end to end](end_to_end.svg)

A layer with its linear layers (Q, K, V, output, both of the feed-forward layer), speed-up over unfused. Ours has no
array for these: they are left to FuseMax's.
"""

AREA = """
## Equal area

![equal area](area.svg)

By the same table. In the published areas every register file costs as much as one of 64 words of 32 bits with
comparators, which is nine tenths of the 2-D array; FuseMax draws 10 words of 16 bits. *FuseMax, 512 KiB* has the
buffer it needs. Ours counts every bit there is: 8 slots, 18-bit operands, accumulators that never overflow. So at the
published cost of registers ours is the denser machine, and at the cost of what is drawn the slots cost more than they
bring. Speed is taken to grow with area.
"""

FLATTERS = """
## Where the published accounting flatters
"""
