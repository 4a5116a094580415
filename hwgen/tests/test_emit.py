"""Verilog that depends on nothing but its parameters, with each distinct part in it once."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

import hwgen
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.part import Part, place
from hwgen.tests.bench import CHOICES, tiny

ROOT = Path(hwgen.__file__).parent.parent

SCRIPT = f"""
import sys
from hwgen.config import Config
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.params import Params
sys.stdout.write(to_verilog(Core(Params(Config(**{CHOICES!r}))), "core"))
"""


class Delay(Part):
    """A register of `bits` bits."""

    def __init__(self, bits: int) -> None:
        super().__init__({"before": In(bits), "after": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.after.eq(self.before)
        return m


class Chain(Part):
    """Delays of the given widths one behind the other."""

    def __init__(self, *widths: int) -> None:
        self._widths = widths
        super().__init__({"before": In(widths[0]), "after": Out(widths[-1])})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.before
        for i, bits in enumerate(self._widths):
            delay = Delay(bits)
            place(m, f"delay_{i}", delay)
            m.d.comb += delay.before.eq(value)
            value = delay.after
        m.d.comb += self.after.eq(value)
        return m


def emitted(folder: Path, seed: str) -> str:
    """The tiny core's Verilog as a process of its own writes it, in some folder, with some order of sets."""
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


@cache
def core() -> str:
    """One such text, for all tests."""
    return emitted(ROOT, "1")


def defined(text: str) -> list[str]:
    """Names of the modules, in order."""
    return re.findall(r"^module (\w+)", text, re.MULTILINE)


def instances(text: str) -> list[str]:
    """Names of the modules placed, in order: of all statements, only theirs open a list of ports with a line break."""
    return re.findall(r"^  (\w+) \\?\S+ \($", text, re.MULTILINE)


def placed(text: str, top: str) -> Counter[str]:
    """How often each module stands in the machine."""
    bodies = dict(re.findall(r"^module (\w+)\b(.*?)^endmodule", text, re.MULTILINE | re.DOTALL))
    count: Counter[str] = Counter()
    for name in instances(bodies[top]):
        count += Counter({name: 1}) + placed(text, name)
    return count


def test_same_text_in_every_process_and_folder(tmp_path: Path) -> None:
    texts = [core(), emitted(tmp_path, "2")]
    assert len({hashlib.sha256(text.encode()).hexdigest() for text in texts}) == 1


def test_each_module_is_defined_once() -> None:
    names = defined(core())
    assert "core" in names and len(names) > 20
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_module_placed_is_defined_and_every_one_defined_is_placed() -> None:
    count, params = placed(core(), "core"), tiny()
    assert set(count) == set(defined(core())) - {"core"}
    assert count["score_pe"] == params.config.rows_e * params.config.cols
    assert count["value_pe"] == params.config.rows_f * params.config.cols
    assert count["softmax_lane"] == params.lanes
    assert count["normaliser_lane"] == params.config.out_beat


def test_every_clock_is_a_clock() -> None:
    edges = set(re.findall(r"posedge (\S+)", core()))
    # An undriven clock domain would be written as a constant.
    assert edges == {"clk)"}


def test_what_has_no_bits_is_not_there() -> None:
    """With one fold, slot and column numbers of folds, slots and columns are empty: `[-1:0]` would be two bits."""
    text = to_verilog(Core(tiny(cols=1, slots=1, head_e=4, head_f=4)), "core")
    assert "[-1:0]" not in text
    ports = dict(re.findall(r"^module (\w+)\b[^(]*\((.*?)\);", text, re.M | re.S))
    # What is left is connected.
    assert "last_fold" not in ports["value_array"] and "slot" not in ports["pending_slots"]
    assert "last_fold" in dict(re.findall(r"^module (\w+)\b[^(]*\((.*?)\);", core(), re.M | re.S))["value_array"]


def test_no_trace_of_the_machine() -> None:
    text = core()
    assert not re.search(r"(?<![\w/*])/[\w.-]+/", text)
    assert str(ROOT) not in text and ".py" not in text and "(* src" not in text


def test_text_ends_cleanly() -> None:
    assert core().endswith("endmodule\n")
    assert not re.search(r"[ \t]$", core(), re.MULTILINE)


def test_a_part_placed_twice_is_one_module() -> None:
    text = to_verilog(Chain(3, 3), "top")
    assert sorted(defined(text)) == ["delay", "top"]
    assert placed(text, "top") == {"delay": 2}


def test_parts_that_differ_get_numbers() -> None:
    text = to_verilog(Chain(3, 4, 3, 5, 4), "top")
    assert sorted(defined(text)) == ["delay", "delay_2", "delay_3", "top"]
    # In the order in which they are met.
    assert instances(text) == ["delay", "delay_2", "delay", "delay_3", "delay_2"]
    widths = {name: re.search(rf"^module {name}\b.*?output \[(\d):0\]", text, re.M | re.S) for name in defined(text)}
    assert {name: int(found[1]) + 1 for name, found in widths.items() if found and name != "top"} == {
        "delay": 3,
        "delay_2": 4,
        "delay_3": 5,
    }
