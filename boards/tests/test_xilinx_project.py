"""The folder for Vivado: its scripts run, ask for what exists, and mistakes in them are found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from boards.xilinx import project
from boards.xilinx.__main__ import main
from boards.xilinx.cells import with_cells
from boards.xilinx.devices import BOARDS, XilinxBoard
from boards.xilinx.estimate import TOP
from boards.xilinx.tcl_check import check_project, verilog_ports
from boards.xilinx.tcl_run import ScriptError, run_script
from hwgen.accelerator import Accelerator
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError

PARAMS = BOARDS["kv260"].params("tiny")


@pytest.fixture(scope="module")
def verilog() -> str:
    """Of the one machine that all tests take, whatever the board: writing it is what takes time."""
    return to_verilog(Accelerator(PARAMS), TOP)


def write(board: XilinxBoard, folder: Path, verilog: str, *, cells: bool = False) -> None:
    def known(part: Accelerator, _: str) -> str:
        part._MustUse__used = True
        return verilog

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project, "to_verilog", known)
        project.write_project(board, PARAMS, folder, name="tiny", cells=cells, check=lambda *_: None)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, verilog: str) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in BOARDS}
    for name, folder in folders.items():
        write(BOARDS[name], folder, verilog)
    return folders


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_nothing_is_wrong(name: str, written: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    assert main(["lint", "--board", name, str(written[name])]) == 0
    assert "Vivado itself was not run" in capsys.readouterr().out
    assert sorted(path.name for path in (written[name] / "out").iterdir()) == [f"{TOP}.bit", f"{TOP}.hwh"]
    assert "Vivado was not run" in (written[name] / "README.md").read_text()


def test_ports_are_those_of_the_verilog(written: dict[str, Path]) -> None:
    part = Accelerator(PARAMS)
    part._MustUse__used = True  # only its ports are wanted
    ways = {name: way for name, (way, _) in project.ports(part).items()}
    assert ways == verilog_ports((written["kv260"] / f"{TOP}.v").read_text())


MISTAKES = [
    ("package_ip.tcl", "add_interface aclk ", "add_interfaces aclk ", "invalid command name"),
    ("package_ip.tcl", "$m_axi_parameters", "$m_axi_parameter", "can't read"),
    ("package_ip.tcl", "s_axi:m_axi", "s_axi", "aclk must be associated"),
    ("package_ip.tcl", "ACTIVE_LOW", "ACTIVE_HIGH", "active low"),
    ("package_ip.tcl", "aximm slave", "aximm master", "s_axi must be a slave"),
    ("package_ip.tcl", "{INTERRUPT interrupt}", "{INTERRUPT irq}", "irq is no port"),
    ("package_ip.tcl", "ipx::save_core $core\n", "", "save_core is never called"),
    ("package_ip.tcl", "set_property range $memory_range $space\n", "", "m_axi has no address space"),
    ("settings.tcl", " RLAST m_axi_rlast", "", "port m_axi_rlast is in no interface"),
    ("settings.tcl", "registers_range 4096", "registers_range 256", "4096 bytes, not 256"),
    ("settings.tcl", "{hwgen_accelerator.v}", "{hwgen.v}", "hwgen.v does not exist"),
    ("settings.tcl", "ps_clock FCLK_CLK0", "ps_clock FCLK_CLK1", "no pin ps/FCLK_CLK1"),
    ("synth_ooc.tcl", "clock.xdc", "clocks.xdc", "clocks.xdc does not exist"),
    ("synth_ooc.tcl", "-mode out_of_context -flatten", "-flatten", "out of context"),
    ("block_design.tcl", "accelerator/aclk", "accelerator/clk", "no pin accelerator/clk"),
    ("block_design.tcl", "accelerator/aresetn ", "", "pin accelerator/aresetn is connected 0 times"),
    ("block_design.tcl", "save_bd_design", "save_bd_desing", "invalid command name"),
    ("block_design.tcl", "hw_handoff", "handoff", "no such file"),
    (f"{TOP}.core", "- clock.xdc", "- clk.xdc", "clk.xdc does not exist"),
    (f"{TOP}.core", "[constraints]", "[constraint]", "no fileset constraint"),
]


@pytest.mark.parametrize(("file", "text", "mistake", "message"), MISTAKES, ids=[mistake[3] for mistake in MISTAKES])
def test_mistakes_are_found(
    file: str, text: str, mistake: str, message: str, written: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    shutil.copytree(written["pynq-z2"], folder, ignore=shutil.ignore_patterns("out", "build"))
    before = (folder / file).read_text()
    assert text in before
    (folder / file).write_text(before.replace(text, mistake))
    try:
        complaints = check_project(folder, BOARDS["pynq-z2"])
    except ScriptError as error:
        complaints = [str(error)]
    assert re.search(re.escape(message), "\n".join(complaints)), complaints


def test_timing_that_is_not_met_stops_the_build(written: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "p"
    shutil.copytree(written["kv260"], folder, ignore=shutil.ignore_patterns("out", "build"))
    # Packaging comes first.
    assert check_project(folder, BOARDS["kv260"]) == []
    with pytest.raises(ScriptError, match="timing is not met at 150 MHz: worst slack -0.2 ns"):
        run_script(folder / "block_design.tcl", answers={"STATS.WNS": "-0.2"})
    with pytest.raises(ScriptError, match="install Vivado's Kria boards"):
        run_script(folder / "block_design.tcl", answers={"board_parts": ""})


def test_the_same_machine_gives_the_same_files(written: dict[str, Path], tmp_path: Path, verilog: str) -> None:
    write(BOARDS["pynq-z2"], tmp_path, verilog)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (written["pynq-z2"] / path.name).read_bytes(), path.name
    assert {*project.SCRIPTS, "settings.tcl", "clock.xdc", f"{TOP}.v", f"{TOP}.core"} <= {
        p.name for p in tmp_path.iterdir()
    }


def test_cells_are_put_in_place(written: dict[str, Path], tmp_path: Path, verilog: str) -> None:
    write(BOARDS["pynq-z2"], tmp_path, verilog, cells=True)
    assert (written["pynq-z2"] / f"{TOP}.v").read_text() == verilog
    assert (tmp_path / f"{TOP}.v").read_text() == with_cells(verilog)
    assert check_project(tmp_path, BOARDS["pynq-z2"]) == []


def test_what_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    def refuse(*_) -> None:
        raise ConfigError("too large")

    board, folder = BOARDS["pynq-z2"], tmp_path / "p"
    with pytest.raises(ConfigError, match="too large"):
        project.write_project(board, PARAMS, folder, name="tiny", check=refuse)
    assert not folder.exists()
