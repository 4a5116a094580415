"""The whole of a board: clean Verilog for every width of the bus, buses it does not take, and its lights."""

from __future__ import annotations

import pytest

from boards.link.board_memory import BoardMemory
from boards.link.lamps import Alive, Stretch
from boards.link.top import BoardTop, require_bus
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError
from hwgen.part import Part
from hwgen.sim.lint import lint
from hwgen.tests.bench import clocked, tiny


def require_clean(part: Part) -> None:
    text = to_verilog(part, "top")
    assert lint(text, "top") == {} and "posedge 1'h0" not in text


def test_clean_verilog() -> None:
    require_clean(BoardTop(tiny(bus_bits=64, address_bits=32), memory_bytes=3 * 4096, clocks_per_bit=4))


@pytest.mark.parametrize("bus_bits", [32, 128])
def test_clean_memory(bus_bits: int) -> None:
    require_clean(BoardMemory(tiny(bus_bits=bus_bits, address_bits=32), 5 * 4096))


@pytest.mark.parametrize(("address_bits", "bus_bits"), [(64, 64), (32, 256), (16, 64)])
def test_other_buses(address_bits: int, bus_bits: int) -> None:
    text = f"address_bits in 17 .. 32 and bus_bits one of 32, 64, 128, not {address_bits} and {bus_bits}"
    with pytest.raises(ConfigError, match=text):
        require_bus(tiny(address_bits=address_bits, bus_bits=bus_bits), 48 << 10)


def test_stretch() -> None:
    pulses = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1] + [0] * 8
    lit = [out for (out,) in clocked(Stretch(2), [{"input": pulse} for pulse in pulses], ["output"])]
    expected = [int(any(pulses[max(0, at - 5) : max(0, at - 2)])) for at in range(len(pulses))]
    assert lit == expected


def test_alive() -> None:
    lit = [out for (out,) in clocked(Alive(3), [{}] * 20, ["output"])]
    assert lit == [at // 4 % 2 for at in range(20)]
