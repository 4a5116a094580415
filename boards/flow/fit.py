"""Whether a machine fits a device, said before place and route tries for an hour."""

from __future__ import annotations

from boards.board import Board
from boards.flow.family import TOP, Family, Use
from boards.flow.netlist import Netlist
from boards.flow.parts import total, uses
from boards.flow.tools import FlowError

FULL = 0.95
"""Share of the LUTs beyond which nothing finds its place."""

REMEDIES = {
    "score array": "fewer cols, rows_e or slots",
    "value array": "fewer cols, rows_f or slots",
    "softmax lanes": "fewer lanes",
    "normaliser": "a smaller out_beat",
    "block conversion": "a smaller beat",
    "K/V buffer": "fewer buffer_rows",
    "DMA": "a narrower bus_bits or fewer queue_beats",
    "control": "fewer outstanding or a smaller preset",
    "memory": "a board with less memory",
}
"""What makes a part smaller."""

WORDS = {"luts": "LUT4", "ff": "flip-flops", "dsp": "multipliers", "ram": "block RAMs"}


def shortage(parts: dict[str, Use], board: Board) -> str | None:
    """Why the machine cannot fit, and what to shrink; None if it may."""
    whole = total(parts.values())
    limits = {"luts": FULL * board.capacity["lut"]} | {name: board.capacity[name] for name in ("ff", "dsp", "ram")}
    for name, limit in limits.items():
        used = getattr(whole, name)
        if used <= limit:
            continue
        largest = max(parts, key=lambda part: getattr(parts[part], name))
        capacity = board.capacity["lut" if name == "luts" else name]
        told = f"the machine needs {used:,} {WORDS[name]}, {board.title} has {capacity:,}"
        share = f"{getattr(parts[largest], name):,} are the {largest}'s"
        return f"{told}; {share}: try {REMEDIES.get(largest, 'a smaller preset')}"
    return None


def require_fit(netlist: Netlist, board: Board, family: Family) -> None:
    """Raises FlowError if a synthesised design is too large for the device."""
    text = shortage(uses(netlist, TOP, family), board)
    if text is not None:
        raise FlowError(text)
