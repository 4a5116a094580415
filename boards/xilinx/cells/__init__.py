"""Cells of Xilinx's devices: what each of them takes, and modules made for them in place of generated ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

RESOURCES = ("lut", "lutram", "srl", "ff", "carry", "dsp", "bram", "uram")
"""LUTs in all, of them as memory, of them as shift registers; flip-flops; CARRY4; DSP48; RAMB36 (a half is a RAMB18);
URAM288."""

COSTS: Mapping[str, Mapping[str, float]] = {
    **{f"LUT{n}": {"lut": 1} for n in range(1, 7)},
    "INV": {"lut": 1},
    "RAM32M": {"lut": 4, "lutram": 4},
    "RAM64M": {"lut": 4, "lutram": 4},
    "RAM32M16": {"lut": 8, "lutram": 8},
    "RAM64M8": {"lut": 8, "lutram": 8},
    "RAM32X1D": {"lut": 2, "lutram": 2},
    "RAM64X1D": {"lut": 2, "lutram": 2},
    "RAM128X1D": {"lut": 4, "lutram": 4},
    "RAM256X1D": {"lut": 8, "lutram": 8},
    "RAM32X1S": {"lut": 1, "lutram": 1},
    "RAM64X1S": {"lut": 1, "lutram": 1},
    "RAM128X1S": {"lut": 2, "lutram": 2},
    "RAM256X1S": {"lut": 4, "lutram": 4},
    "SRL16E": {"lut": 1, "lutram": 1, "srl": 1},
    "SRLC32E": {"lut": 1, "lutram": 1, "srl": 1},
    "CARRY4": {"carry": 1},
    "CARRY8": {"carry": 2},
    **{name: {"ff": 1} for name in ("FDRE", "FDSE", "FDCE", "FDPE")},
    "DSP48E1": {"dsp": 1},
    "DSP48E2": {"dsp": 1},
    "RAMB18E1": {"bram": 0.5},
    "RAMB18E2": {"bram": 0.5},
    "RAMB36E1": {"bram": 1},
    "RAMB36E2": {"bram": 1},
    "URAM288": {"uram": 1},
    # In every slice, behind its LUTs.
    "MUXF7": {},
    "MUXF8": {},
    "GND": {},
    "VCC": {},
}
"""What a cell takes of RESOURCES."""

SCORE_PE = Path(__file__).parent / "score_pe.v"
PARAMETERS = {"OPERAND_BITS": "k_in", "DEPTH_BITS": "operand_in", "SUM_BITS": "sum_in"}
"""The cell's parameters, each with a port whose width it is."""

_MODULE = re.compile(r"(?ms)^module score_pe\((.*?)\);\n.*?^endmodule\n")
_PORT = re.compile(r"(?m)^  (input|output) (?:\[(\d+):0\] )?(\w+);")


def with_cells(verilog: str) -> str:
    """Generated text with the modules of this folder in place of the generator's: the same ports and the same bits in
    every cycle, see score_pe.v. Raises ValueError where the text has no module `score_pe`, several or another one."""
    found = _MODULE.findall(verilog)
    if len(found) != 1:
        raise ValueError(f"expected one module score_pe, not {len(found)}")
    return _MODULE.sub(lambda module: _wrapper(module[0]) + SCORE_PE.read_text(), verilog)


def _wrapper(module: str) -> str:
    """Module `score_pe` made of the cell."""
    ports = {name: (direction, int(high or 0) + 1) for direction, high, name in _PORT.findall(module)}
    cell = set(re.findall(r"(?m)^    (?:in|out)put .*?(\w+),?$", SCORE_PE.read_text()))
    if set(ports) - {"rst"} != cell:
        raise ValueError(
            f"module score_pe has ports {', '.join(sorted(ports))}; the cell has {', '.join(sorted(cell))}"
        )
    lines = [f"module score_pe({', '.join(ports)});"]
    lines += [f"  {direction} [{width - 1}:0] {name};" for name, (direction, width) in ports.items()]
    parameters = ", ".join(f".{name}({ports[port][1]})" for name, port in PARAMETERS.items())
    connections = ", ".join(f".{name}({name})" for name in ports if name in cell)
    return "\n".join([*lines, f"  score_pe_dsp48 #({parameters}) cell_0 ({connections});", "endmodule", "", ""])
