"""Packs logic into ECP5 cells where yosys leaves it beside them. Function and timing in cycles stay as they are.

* Registers around a multiplier move into MULT18X18D, which has one behind each factor, one within and one in front of
  the product: yosys only uses the bare multiplier, and a route from there to a register costs what it saves.
* Registers behind a block of memory move into it: it takes 5.8 ns from its clock to its data without one.
* A function of up to three signals that only an adder's operand needs moves into the carry cell: CCU2C has a LUT4 in
  front of each bit of its adder, of which yosys uses two inputs. A multiplexer in front of an adder then costs nothing.
"""

from __future__ import annotations

from itertools import permutations

from boards.flow.netlist import Bit, Module, Netlist

FACTOR_BITS, PRODUCT_BITS, WORD_BITS = 18, 36, 18
ADD_INIT = "1001011010101010"
"""How yosys sets a carry cell that adds: with C = 0 and D = 1 the sum's LUT is A ^ B, and the carry's is A."""

GENERATE = 0xA
"""The carry cell's LUT of A and B for the carry where none is propagated: A. It is the part of the sum's LUT with C = D
= 0, which therefore must be A as well."""


def pack(netlist: Netlist) -> dict[str, int]:
    """Pack all modules in place; gives how many multiplier registers and LUTs went, counting each module once."""
    packed = {"multiplier_registers": 0, "memory_registers": 0, "carry_luts": 0}
    for module in netlist.modules.values():
        for name in module.of_type("MULT18X18D"):
            packed["multiplier_registers"] += _pack_multiplier(module, name)
        for name in module.of_type("DP16KD"):
            packed["memory_registers"] += _pack_memory(module, name)
        for name in module.of_type("CCU2C"):
            for half in (0, 1):
                packed["carry_luts"] += _pack_carry(module, name, half)
    return packed


def _pack_multiplier(module: Module, name: str) -> int:
    cell = module.cells[name]
    stages = []
    for letter in "AB":
        stage = _registers_before(module, [cell["connections"][f"{letter}{i}"][0] for i in range(FACTOR_BITS)])
        if stage is not None:
            stages.append((f"INPUT{letter}", stage))
    outputs = [f"P{i}" for i in range(PRODUCT_BITS)]
    behind = _registers_behind(module, [cell["connections"].get(port, ["x"])[0] for port in outputs])
    if behind is not None:
        later = _registers_behind(module, [module.cells[ff]["connections"]["Q"][0] if ff else "x" for ff in behind])
        stages += [("OUTPUT", behind)] if later is None else [("PIPELINE", behind), ("OUTPUT", later)]
    clocks = {module.cells[ff]["connections"]["CLK"][0] for _, stage in stages for ff in stage if ff}
    if len(clocks) != 1:
        return 0
    for kind, stage in stages:
        cell["parameters"] |= {f"REG_{kind}_CLK": "CLK0", f"REG_{kind}_CE": "CE0", f"REG_{kind}_RST": "RST0"}
        _absorb(module, name, kind, stage)
    for port, bit in (("CLK0", clocks.pop()), ("CE0", "1"), ("RST0", "0")):
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = "input"
    return len(stages)


def _pack_memory(module: Module, name: str) -> int:
    """The register behind the read port, if nobody else sees what it takes. Words of 36 bits leave through both ports,
    and stay as they are."""
    cell = module.cells[name]
    if int(cell["parameters"]["DATA_WIDTH_B"], 2) > WORD_BITS or cell["connections"]["RSTB"] != ["0"]:
        return 0
    behind = _registers_behind(module, [cell["connections"].get(f"DOB{i}", ["x"])[0] for i in range(WORD_BITS)])
    clock = cell["connections"]["CLKB"]
    if behind is None or any(module.cells[ff]["connections"]["CLK"] != clock for ff in behind if ff):
        return 0
    for i, ff in enumerate(behind):
        if ff:
            cell["connections"][f"DOB{i}"] = module.cells.pop(ff)["connections"]["Q"]
    cell["parameters"]["REGMODE_B"] = "OUTREG"
    cell["connections"]["OCEB"] = ["1"]
    cell["port_directions"]["OCEB"] = "input"
    return 1


def _plain_register(module: Module, name: str) -> bool:
    """Whether a cell is a flip-flop with nothing but clock and data, on the rising edge, that starts at 0."""
    cell = module.cells.get(name)
    if cell is None or cell["type"] != "TRELLIS_FF":
        return False
    connections, parameters = cell["connections"], cell["parameters"]
    idle = connections.get("LSR", ["0"]) == ["0"] and connections.get("CE", ["1"]) == ["1"]
    states = {key: parameters.get(key, usual).strip() for key, usual in PLAIN.items()}
    return idle and states == PLAIN


PLAIN = {"CEMUX": "1", "CLKMUX": "CLK", "REGSET": "RESET", "LSRMUX": "LSR"}


def _registers_before(module: Module, bits: list[Bit]) -> list[str] | None:
    """The flip-flops that drive a multiplier's factor, "" for a constant 0; None if not all bits have one."""
    found = []
    for bit in bits:
        if bit == "0":
            found.append("")
            continue
        driver = module.drivers.get(bit) if isinstance(bit, int) else None
        if driver is None or not _plain_register(module, driver.cell):
            return None
        found.append(driver.cell)
    return found if any(found) else None


def _registers_behind(module: Module, bits: list[Bit]) -> list[str] | None:
    """The flip-flops that take a word and that alone take it, "" where nobody takes a bit; None if there are others who
    do."""
    found = []
    for bit in bits:
        users = module.users.get(bit, []) if isinstance(bit, int) else []
        if not users:
            found.append("")
        elif len(users) == 1 and users[0].port == "DI" and _plain_register(module, users[0].cell):
            found.append(users[0].cell)
        else:
            return None
    return found if any(found) else None


def _absorb(module: Module, name: str, kind: str, stage: list[str]) -> None:
    """Connect the multiplier to the other side of the flip-flops; drop those that nobody else needs."""
    cell = module.cells[name]
    for i, ff in enumerate(stage):
        if not ff or ff not in module.cells:
            continue
        data, out = (module.cells[ff]["connections"][port][0] for port in ("DI", "Q"))
        if kind.startswith("INPUT"):
            letter = kind[-1]
            for j, other in enumerate(stage):
                if other == ff:
                    cell["connections"][f"{letter}{j}"] = [data]
            if all(user.cell == name and user.port[0] == letter for user in module.users[out]):
                del module.cells[ff]
        else:
            cell["connections"][f"P{i}"] = [out]
            del module.cells[ff]


def _pack_carry(module: Module, name: str, half: int) -> int:
    """One bit of an adder: take the LUT that drives one of its operands in."""
    cell = module.cells[name]
    connections = cell["connections"]
    a, b = connections[f"A{half}"][0], connections[f"B{half}"][0]
    if cell["parameters"][f"INIT{half}"] != ADD_INIT or connections[f"C{half}"] + connections[f"D{half}"] != ["0", "1"]:
        return 0
    for kept, operand in ((a, b), (b, a)):
        lut = _private_lut(module, operand)
        if lut is None:
            continue
        packed = _merged(module.cells[lut])
        if packed is None:
            continue
        init, inputs = packed
        cell["parameters"][f"INIT{half}"] = f"{init:016b}"
        for letter, bit in zip("ABCD", (kept, *inputs), strict=True):
            connections[f"{letter}{half}"] = [bit]
        del module.cells[lut]
        return 1
    return 0


def _private_lut(module: Module, bit: Bit) -> str | None:
    """The LUT4 that drives a net which goes nowhere else."""
    driver = module.drivers.get(bit) if isinstance(bit, int) else None
    if driver is None or driver.cell not in module.cells or module.cells[driver.cell]["type"] != "LUT4":
        return None
    return driver.cell if len(module.users[bit]) == 1 else None  # type: ignore[index]


def _merged(lut: dict) -> tuple[int, tuple[Bit, Bit, Bit]] | None:
    """The carry cell's LUT A ^ f(B, C, D) and what to connect to B, C and D, None if f has four inputs or no order of
    them leaves A alone where C = D = 0."""
    table = int(lut["parameters"]["INIT"], 2)
    bits = [lut["connections"][letter][0] for letter in "ABCD"]
    used = [i for i in range(4) if isinstance(bits[i], int)]
    if len(used) > 3 or any(bits[i] not in ("0", "1") for i in range(4) if i not in used):
        return None
    fixed = sum(1 << i for i in range(4) if bits[i] == "1")

    def value(assignment: dict[int, int]) -> int:
        return table >> (fixed | sum(bit << i for i, bit in assignment.items())) & 1

    # With fewer than three inputs the constant D = 1 keeps the carry's part of the table out of use.
    names = [*used, *[None] * (3 - len(used))]
    for order in dict.fromkeys(permutations(names)):
        if len(used) < 3 and order[2] is not None:
            continue
        init = GENERATE
        for index in range(16):
            a, *rest = (index >> i & 1 for i in range(4))
            f = value({i: bit for i, bit in zip(order, rest, strict=True) if i is not None})
            if len(used) == 3 and index < 4 and f:
                break
            if index >= 4 or len(used) == 3:
                init = init & ~(1 << index) | (a ^ f) << index
        else:
            constants = ("0", "0", "1")
            inputs = tuple(constants[i] if n is None else bits[n] for i, n in enumerate(order))
            return init, inputs  # type: ignore[return-value]
    return None
