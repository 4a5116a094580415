"""Keeps long delays of an ECP5 in LUT RAM: a small device has too few flip-flops to leave its placer some.

A row of flip-flops that only hand on what they get, each to the next one alone, becomes a memory that is read and then
written at the same address, which counts round, and the row's last flip-flop behind it. What leaves it, and in which
cycle, stays as it is: a memory is 0 at first, as the flip-flops are. Those with an enable or a reset stay, for
a memory forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from boards.flow.netlist import Bit, Cell, Module, Netlist, new_cell, new_net

WIDTH, WORDS, ADDRESS_BITS = 4, 16, 4
"""Of a memory, TRELLIS_DPR16X4."""

WORTH = 15
"""Flip-flops that a memory must spare; it takes the place of six LUTs."""

FLIP_FLOP = {"CLKMUX": "CLK", "CEMUX": "1 ", "LSRMUX": "LSR", "REGSET": "RESET", "GSR": "DISABLED"}
"""Parameters of a flip-flop without enable that is 0 at first; digits alone would be a number in the netlist."""


def shorten(netlist: Netlist) -> int:
    """Keep the delays of all modules in memories where that spares enough, in place; gives how many flip-flops went,
    counting each module once."""
    # What each module's nets lead to is asked for anew: other passes have changed them.
    return sum(_shorten(Module(name, module.content)) for name, module in netlist.modules.items())


def _shorten(module: Module) -> int:
    groups: dict[tuple[Bit, int], list[list[str]]] = {}
    for row in _rows(module):
        row = row[-(WORDS + 1) :]
        if len(row) > 1:
            groups.setdefault((module.cells[row[0]]["connections"]["CLK"][0], len(row) - 1), []).append(row)
    gone = 0
    for (clock, cycles), rows in groups.items():
        parts = [rows[i : i + WIDTH] for i in range(0, len(rows), WIDTH)]
        parts = [part for part in parts if cycles * len(part) >= WORTH]
        if parts:
            address = _count(module, clock, cycles)
        for part in parts:
            _remember(module, clock, address, part)
            gone += cycles * len(part)
    return gone


def _rows(module: Module) -> Iterator[list[str]]:
    """Rows of flip-flops that hand on what they get, as long as they can be."""
    plain = {name for name in module.of_type("TRELLIS_FF") if _is_plain(module.cells[name])}
    following: dict[str, str] = {}
    for name in plain:
        cell = module.cells[name]
        users = module.users.get(cell["connections"]["Q"][0], [])
        if len(users) == 1 and users[0].cell in plain and users[0].port == "DI":
            later = module.cells[users[0].cell]
            if later["connections"]["CLK"] == cell["connections"]["CLK"]:
                following[name] = users[0].cell
    led = set(following.values())
    for name in module.of_type("TRELLIS_FF"):
        if name in plain - led:
            row = [name]
            while row[-1] in following:
                row.append(following[row[-1]])
            yield row


def _is_plain(cell: Cell) -> bool:
    """Whether a flip-flop is 0 at first and takes its input at every edge."""
    parameters = {key: cell["parameters"].get(key, value) for key, value in FLIP_FLOP.items()}
    pins = cell["connections"]
    return parameters == FLIP_FLOP and pins.get("LSR", ["0"]) == ["0"] and "M" not in pins


def _count(module: Module, clock: Bit, cycles: int) -> list[Bit]:
    """An address that counts 0 .. cycles - 1, over and over."""
    first = new_net(module)
    address: list[Bit] = list(range(first, first + ADDRESS_BITS))
    for i, bit in enumerate(address):
        ones = sum(1 << now for now in range(WORDS) if ((now + 1) % cycles if now < cycles else 0) >> i & 1)
        name, after = f"delay_{clock}_{cycles}_{i}", first + ADDRESS_BITS + i
        pins: dict[str, list[Bit]] = {port: [net] for port, net in zip("ABCD", address, strict=True)}
        module.cells[f"{name}_next"] = new_cell("LUT4", {"INIT": f"{ones:016b}"}, {**pins, "Z": [after]}, "Z")
        module.cells[name] = new_cell("TRELLIS_FF", FLIP_FLOP, {"CLK": [clock], "DI": [after], "Q": [bit]}, "Q")
    return address


def _remember(module: Module, clock: Bit, address: list[Bit], rows: list[list[str]]) -> None:
    """Have a memory in the place of all but the last flip-flops of rows that are equally long."""
    first = new_net(module)
    words: list[Bit] = [module.cells[row[0]]["connections"]["DI"][0] for row in rows]
    pins: dict[str, list[Bit]] = {
        "DI": words + ["0"] * (WIDTH - len(rows)),
        "DO": list(range(first, first + WIDTH)),
        "RAD": list(address),
        "WAD": list(address),
        "WCK": [clock],
        "WRE": ["1"],
    }
    parameters = {"INITVAL": "0" * (WIDTH * WORDS), "WCKMUX": "WCK", "WREMUX": "WRE"}
    module.cells[f"{rows[0][-1]}_delay"] = new_cell("TRELLIS_DPR16X4", parameters, pins, "DO")
    for i, row in enumerate(rows):
        for name in row[:-1]:
            del module.cells[name]
        module.cells[row[-1]]["connections"]["DI"] = [first + i]
