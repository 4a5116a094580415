"""Is what the scripts ask of Vivado consistent with the Verilog, the files and the blocks it names?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from boards.xilinx.devices import XilinxBoard
from boards.xilinx.estimate import TOP
from boards.xilinx.project import SIDE_PORTS
from boards.xilinx.tcl_run import Call, run_script

OPEN_PORTS = SIDE_PORTS[3:]

PINS = {
    # PG082, PG201, PG164, PG247
    "processing_system7": "M_AXI_GP0 M_AXI_GP0_ACLK S_AXI_HP0 S_AXI_HP0_ACLK FCLK_CLK0 FCLK_RESET0_N IRQ_F2P",
    "zynq_ultra_ps_e": "M_AXI_HPM0_FPD maxihpm0_fpd_aclk S_AXI_HP0_FPD saxihp0_fpd_aclk pl_clk0 pl_resetn0 pl_ps_irq0",
    "proc_sys_reset": "slowest_sync_clk ext_reset_in peripheral_aresetn",
    "smartconnect": "aclk aresetn S00_AXI M00_AXI",
}
"""Pins of other blocks, all of which are to be connected."""


def verilog_ports(text: str) -> dict[str, str]:
    """Direction of every port of module TOP."""
    module = re.search(rf"(?ms)^module {TOP}\(.*?^endmodule", text)
    assert module is not None
    return {name: way for way, name in re.findall(r"(?m)^  (input|output) (?:\[\d+:0\] )?(\w+);", module[0])}


def check_project(folder: Path, board: XilinxBoard) -> list[str]:
    """Runs all scripts; gives everything that is wrong, nothing if all is well. Raises ScriptError, MissingTool."""
    ports = verilog_ports((folder / f"{TOP}.v").read_text())
    (folder / "ip").mkdir(exist_ok=True)
    build = folder / "build" / board.name
    products = [
        build / f"{board.name}.runs/impl_1/system_wrapper.bit",
        build / f"{board.name}.gen/sources_1/bd/system/hw_handoff/system.hwh",
    ]
    package = run_script(folder / "package_ip.tcl")
    complaints = [*check_packaging(package, ports), *check_files(package, folder)]
    for arguments in ((), ("route",)):
        calls = run_script(folder / "synth_ooc.tcl", arguments=arguments)
        complaints += [*check_synthesis(calls), *check_files(calls, folder)]
    calls = run_script(folder / "block_design.tcl", products=products)
    complaints += [*check_design(calls, interfaces(package)), *check_core(folder)]
    return complaints


def in_order(calls: Sequence[Call], names: Sequence[str]) -> Iterator[str]:
    """Complaints unless every name is called, and all calls of one lie before all calls of the next."""
    places = {name: [i for i, call in enumerate(calls) if call.name == name] for name in names}
    for name, found in places.items():
        if not found:
            yield f"{name} is never called"
    present = [name for name in names if places[name]]
    for before, after in zip(present, present[1:], strict=False):
        if places[before][-1] > places[after][0]:
            yield f"{before} is called after {after}"


def check_files(calls: Sequence[Call], folder: Path) -> Iterator[str]:
    for call in calls:
        if call.name in ("add_files", "read_verilog", "read_xdc") and not Path(call.target).is_file():
            yield f"{call.name}: {Path(call.target).relative_to(folder)} does not exist"


def interfaces(calls: Sequence[Call]) -> set[str]:
    return {call.words[0] for call in calls if call.name == "ipx::add_bus_interface"}


def check_packaging(calls: Sequence[Call], ports: dict[str, str]) -> Iterator[str]:
    yield from in_order(calls, ("add_files", "ipx::package_project", "ipx::add_bus_interface", "ipx::save_core"))
    mapped = [call.words[1] for call in calls if call.name == "set_property" and call.words[0] == "physical_name"]
    expected = Counter(set(ports) - set(OPEN_PORTS))
    for name in sorted((expected - Counter(mapped)) + Counter()):
        yield f"port {name} is in no interface"
    for name in sorted(Counter(mapped) - expected):
        yield f"{name} is no port, or in two interfaces"
    modes = {call.target: call.words[1] for call in calls if call.name == "set_property" and "mode" in call.words[0]}
    for bus, channels in (("s_axi", "slave"), ("m_axi", "master")):
        if modes.get(f"core/{bus}") != channels:
            yield f"{bus} must be a {channels}"
        # Addresses leave a master and enter a slave.
        if (ports[f"{bus}_awaddr"] == "output") != (channels == "master"):
            yield f"{bus} is no {channels} in the Verilog"
    values = {call.target: call.words[1] for call in calls if call.name == "set_property" and call.words[0] == "value"}
    if set(values.get("core/aclk/ASSOCIATED_BUSIF", "").split(":")) != {"s_axi", "m_axi"}:
        yield "aclk must be associated with s_axi and m_axi"
    if values.get("core/aclk/ASSOCIATED_RESET") != "aresetn" or values.get("core/aresetn/POLARITY") != "ACTIVE_LOW":
        yield "aresetn must be the clock's reset, and active low"
    ranges = {
        call.target: int(call.words[1]) for call in calls if call.name == "set_property" and "range" in call.words
    }
    if ranges.get("core/s_axi/registers") != 4096:
        yield f"the registers take 4096 bytes, not {ranges.get('core/s_axi/registers')}"
    if "core/m_axi" not in ranges:
        yield "m_axi has no address space"


def check_synthesis(calls: Sequence[Call]) -> Iterator[str]:
    yield from in_order(calls, ("create_project", "read_verilog", "read_xdc", "synth_design", "get_timing_paths"))
    yield from in_order(calls, ("synth_design", "report_utilization"))
    for call in calls:
        if call.name == "synth_design" and (call.option("-top"), call.option("-mode")) != (TOP, "out_of_context"):
            yield f"synth_design must make {TOP} out of context"


def check_design(calls: Sequence[Call], accelerator: set[str]) -> Iterator[str]:
    """Every pin that is joined exists, every pin of a block is joined, and once."""
    joined = ("create_bd_cell", "connect_bd_net", "connect_bd_intf_net", "assign_bd_address", "validate_bd_design")
    yield from in_order(calls, (joined[0], joined[1], joined[2], *joined[3:], "make_wrapper", "launch_runs"))
    known: dict[str, int] = {}
    for call in calls:
        if call.name == "create_bd_cell":
            block = (call.option("-vlnv") or "").split(":")[2]
            pins = accelerator if block == TOP else PINS.get(block, "").split()
            known |= {f"{call.target}/{pin}": 0 for pin in pins}
        if call.name in ("connect_bd_net", "connect_bd_intf_net"):
            for pin in call.words:
                if pin not in known:
                    yield f"{call.name}: there is no pin {pin}"
                else:
                    known[pin] += 1
    for pin, number in known.items():
        if number != 1:
            yield f"pin {pin} is connected {number} times"
    assigned = [call.target.split("/")[0] for call in calls if call.name == "assign_bd_address"]
    if sorted(assigned) != ["accelerator", "ps"]:
        yield f"addresses are wanted for the registers and for the memory, not for {', '.join(assigned)}"


def check_core(folder: Path) -> Iterator[str]:
    """The FuseSoC core names files that exist and sets of files that it has."""
    text = (folder / f"{TOP}.core").read_text()
    if not text.startswith("CAPI=2:\n"):
        yield "the core must begin with CAPI=2:"
    core = yaml.safe_load(text)
    for name, fileset in core["filesets"].items():
        for file in fileset["files"]:
            if not (folder / file).is_file():
                yield f"fileset {name}: {file} does not exist"
    for name, target in core["targets"].items():
        for fileset in [*target["filesets"], *target.get("filesets_append", [])]:
            if fileset not in core["filesets"]:
                yield f"target {name}: there is no fileset {fileset}"
