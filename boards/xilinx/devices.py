"""Devices and boards of AMD/Xilinx: what they have, what they are called, what feeds the accelerator there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.params import Params
from hwgen.presets import preset


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device.

    name, part:   short, and as Vivado has it
    family:       as yosys has it
    factor_bits:  widths of the signed factors one DSP multiplies, the wider one first
    capacity:     what it has, by the names of `boards.xilinx.cells.RESOURCES` (from the families' data sheets)
    """

    name: str
    part: str
    family: str
    factor_bits: tuple[int, int]
    capacity: Mapping[str, int]

    def multipliers(self, a: int, b: int) -> int:
        """DSPs for a signed product of `a` by `b` bits: parts of the wider factor are unsigned, but the highest."""
        narrow, wide = sorted((a, b))
        largest, other = self.factor_bits
        if narrow > other:
            return 2 * self.multipliers(wide, other)
        return 1 if wide <= largest else 1 + self.multipliers(wide - (largest - 1), narrow)


DEVICES = {
    device.name: device
    for device in (
        Device(
            name="xc7z020",
            part="xc7z020clg400-1",
            family="xc7",
            factor_bits=(25, 18),
            capacity={"lut": 53_200, "lutram": 17_400, "ff": 106_400, "dsp": 220, "bram": 140, "uram": 0},
        ),
        Device(
            name="xck26",
            part="xck26-sfvc784-2LV-c",
            family="xcup",
            factor_bits=(27, 18),
            capacity={"lut": 117_120, "lutram": 57_600, "ff": 234_240, "dsp": 1_248, "bram": 144, "uram": 64},
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class XilinxBoard:
    """A board with a processing system.

    name, title:      on the command line; in documents
    preset, changes:  the machine that is built if none is named; what of any machine is fitted to this board
    clock_mhz:        asked of the processing system
    board_part:       pattern of Vivado's name for the board
    board_files:      where Vivado has them from
    registers:        address of the registers, in the window of the processing system's master
    ps:               how the block design speaks to the processing system, see tcl/block_design.tcl
    """

    name: str
    title: str
    device: Device
    preset: str
    changes: Mapping[str, object] = field(default_factory=dict)
    clock_mhz: int
    board_part: str
    board_files: str
    registers: int
    ps: Mapping[str, str]

    def params(self, name: str | None = None, changes: Mapping[str, object] | None = None) -> Params:
        """The machine: a preset, fitted to the board, changed as asked. Raises ConfigError."""
        return Params(preset(name or self.preset).replace(dict(self.changes)).replace(changes or {}))


ZYNQ = {
    "ip": "processing_system7",
    "automation": 'make_external "FIXED_IO, DDR" apply_board_preset "1"',
    "settings": "CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1 CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 "
    "CONFIG.PCW_USE_FABRIC_INTERRUPT 1 CONFIG.PCW_IRQ_F2P_INTR 1",
    "clock_setting": "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ",
    "clock": "FCLK_CLK0",
    "reset": "FCLK_RESET0_N",
    "master": "M_AXI_GP0",
    "master_clock": "M_AXI_GP0_ACLK",
    "slave": "S_AXI_HP0",
    "slave_clock": "S_AXI_HP0_ACLK",
    "interrupt": "IRQ_F2P",
    "memory": "S_AXI_HP0/HP0_DDR_LOWOCM",
}

ZYNQ_ULTRASCALE = {
    "ip": "zynq_ultra_ps_e",
    "automation": 'apply_board_preset "1"',
    # By the numbers of the ports: GP0 is the master HPM0_FPD, and the slave GP2 is HP0_FPD.
    "settings": "CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 "
    "CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 CONFIG.PSU__USE__IRQ0 1 "
    "CONFIG.PSU__FPGA_PL0_ENABLE 1",
    "clock_setting": "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
    "clock": "pl_clk0",
    "reset": "pl_resetn0",
    "master": "M_AXI_HPM0_FPD",
    "master_clock": "maxihpm0_fpd_aclk",
    "slave": "S_AXI_HP0_FPD",
    "slave_clock": "saxihp0_fpd_aclk",
    "interrupt": "pl_ps_irq0",
    "memory": "SAXIGP2/HP0_DDR_LOW",
}

BOARDS = {
    board.name: board
    for board in (
        XilinxBoard(
            name="pynq-z2",
            title="TUL PYNQ-Z2",
            device=DEVICES["xc7z020"],
            preset="ecp5",
            # The high-performance port has 64 bits and addresses of 32.
            changes={"bus_bits": 64, "address_bits": 32},
            clock_mhz=100,
            board_part="tul.com.tw:pynq-z2:part0:*",
            board_files="the board files of TUL, below Vivado's data/boards",
            registers=0x43C0_0000,
            ps=ZYNQ,
        ),
        XilinxBoard(
            name="kv260",
            title="AMD Kria KV260",
            device=DEVICES["xck26"],
            preset="demo",
            changes={"bus_bits": 128, "address_bits": 40},
            clock_mhz=150,
            board_part="xilinx.com:kv260_som:part0:*",
            board_files="Vivado's Kria boards, from its board store",
            registers=0xA000_0000,
            ps=ZYNQ_ULTRASCALE,
        ),
    )
}


def device(name: str) -> Device:
    """Raises ConfigError with the nearest name."""
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}{did_you_mean(name, DEVICES)}")
    return DEVICES[name]


def board(name: str) -> XilinxBoard:
    """Raises ConfigError with the nearest name."""
    if name not in BOARDS:
        raise ConfigError(f"unknown board {name!r}{did_you_mean(name, BOARDS)}")
    return BOARDS[name]
