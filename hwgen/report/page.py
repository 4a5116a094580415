"""One run as one page: every figure and table, nothing that has to be fetched."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hwgen import __version__, table
from hwgen.checked import Checked, as_json, shape_text
from hwgen.control.causes import BUSY, Cause
from hwgen.control.descriptor import LSE_BYTES
from hwgen.control.register_map import counter_meanings, meanings
from hwgen.model.machine import Memory, Prediction, predict
from hwgen.model.work import Work
from hwgen.picture import COLOURS, NAMES
from hwgen.presets import PRESETS
from hwgen.report import figures
from hwgen.report.accuracy import Accuracy, accuracy
from hwgen.report.activity import ARRAYS, stretches
from hwgen.report.svg import NAMED, TENSOR_COLOURS, TENSOR_LABELS, palettes
from hwgen.request import RunRequest


@dataclass(frozen=True)
class Headline:
    """A figure one wants to know first: what it is, its value, and what to compare it with."""

    name: str
    value: str
    note: str


def page(checked: Checked, request: RunRequest, extra: Sequence[str] = ()) -> str:
    """The page's HTML, the same for the same run but for the seconds it took. `extra`: words of the command that are
    not in the request. Raises ValueError if the run was not traced."""
    environment = Environment(
        loader=PackageLoader("hwgen.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(facts(checked, request, extra))


def facts(checked: Checked, request: RunRequest, extra: Sequence[str] = ()) -> dict[str, Any]:
    """All that the template shows, as text and numbers."""
    found, measured = stretches(checked), accuracy(checked)
    moved, least = traffic(checked), least_traffic(checked)
    light, dark = palettes()
    model = predicted(checked, request)
    return {
        "title": f"Attention on preset {checked.preset}",
        "subtitle": shape_text(checked.problem),
        "version": __version__,
        "hash": checked.params.config.hash(),
        "headlines": headlines(checked, measured),
        "warnings": warnings(checked),
        "problem": problem_rows(checked),
        "machine": machine_rows(checked),
        "memory": memory_rows(request),
        "legend_entries": [(NAMES[code], _variable(COLOURS[code])) for code in _codes(checked)],
        "tensors": [(TENSOR_LABELS[name], _variable(TENSOR_COLOURS[name])) for name, size in moved.items() if size],
        "causes": cause_rows(checked),
        "traffic": traffic_rows(checked, moved, least),
        "accuracy": accuracy_rows(checked, measured),
        "counters": counter_rows(checked, model),
        "modelled": model is not None,
        "figures": figures.all_figures(checked, found, measured, (moved, least), model),
        "command": command(request, extra),
        "configuration": json.dumps(asdict(checked.params.config), indent=2),
        "seconds": [f"{checked.result.seconds:.1f}", f"{checked.build_seconds:.1f}"],
        "run": as_json(checked),
        "light": light,
        "dark": dark,
    }


def _variable(colour: str) -> str:
    return NAMED[colour]


def headlines(checked: Checked, found: Accuracy) -> list[Headline]:
    c, macs = checked.comparison, checked.result.macs(checked.params)
    return [
        Headline("Utilisation U", f"{checked.utilisation:.4f}", f"{macs['useful']:,} of {macs['possible']:,} MACs"),
        Headline("Cycles", table.count(checked.cycles), "doorbell to done"),
        Headline("Bits equal", _equal(c.bits, c.equal), f"of {c.bits:,} compared with the integer model"),
        Headline("Error / rounding", f"{checked.error.ratio:.4f}", "1 is the exact answer, rounded once"),
        Headline("Read channel busy", f"{checked.read_busy:.4f}", f"{checked.params.bus_bytes} bytes a cycle"),
        Headline("Bytes moved", table.count(checked.bytes_read + checked.bytes_written), "read and written"),
    ]


def _equal(bits: int, equal: int) -> str:
    return "all" if equal == bits else f"{bits - equal:,} differ"


def warnings(checked: Checked) -> list[str]:
    """What the reader must not miss."""
    found = []
    if checked.comparison.first is not None:
        found.append(f"The first difference from the integer model: {checked.comparison.first}")
    if checked.comparison.poisoned:
        found.append(f"{checked.comparison.poisoned:,} queries saw NaN or infinity and are NaN.")
    if checked.result.saturated:
        found.append("Scores were clamped: they are too large for softmax to tell them apart.")
    return found


def problem_rows(checked: Checked) -> list[tuple[str, str]]:
    p, s = checked.problem, checked.problem.shape
    mask = f"causal, offset {p.offset}" if p.causal else "none"
    return [
        ("data", p.source),
        ("batch entries", table.count(s.B)),
        ("query heads, key/value heads", f"{s.Hq:,}, {s.Hkv:,}"),
        ("queries, keys", f"{s.L:,}, {s.S:,}" + (f" (the first {p.keys:,} exist)" if p.keys != s.S else "")),
        ("head dimensions E, F", f"{s.E}, {s.F}"),
        ("mask", mask),
        ("scale", f"{p.scale:.6g}"),
        ("allowed pairs", table.count(checked.result.counters["pairs"])),
    ]


def machine_rows(checked: Checked) -> list[tuple[str, str]]:
    params, c = checked.params, checked.params.config
    purpose = PRESETS[checked.preset].purpose
    changed = "" if c == PRESETS[checked.preset].config else ", changed"
    return [
        ("preset", f"{checked.preset}{changed} ({purpose})"),
        ("score array", f"{c.rows_e} x {c.cols}"),
        ("value array", f"{c.rows_f} x {c.cols}"),
        ("slots, softmax lanes", f"{c.slots}, {params.lanes}"),
        ("queries in a block", table.count(params.block)),
        ("largest head dimensions E, F", f"{c.head_e}, {c.head_f}"),
        ("MACs a cycle, both arrays", table.count(params.macs)),
        ("bus", f"{c.bus_bits} bits, {params.bus_bytes} bytes a cycle"),
        ("formats in, out", f"{c.in_format}, {c.out_format}"),
        ("configuration", params.config.hash()),
    ]


def memory_rows(request: RunRequest) -> list[tuple[str, str]]:
    return [
        ("latency", f"{request.latency:,} cycles"),
        ("data can move in", f"{request.bandwidth} of 256 cycles"),
        ("channels pause in", f"{request.stall} of 256 cycles"),
    ]


def _codes(checked: Checked) -> list[int]:
    """BUSY and the causes that occur in either array."""
    idle = [checked.result.idle(array) for array in ARRAYS]
    return [BUSY, *(cause for cause in Cause if any(counts[cause.name.lower()] for counts in idle))]


def cause_rows(checked: Checked) -> list[dict[str, Any]]:
    """A row a cause that occurs: its colour and meaning, of each array the cycles and their share."""
    texts = {BUSY: "work is issued"} | {int(Cause[name]): text for name, text in meanings(Cause).items()}
    rows = []
    for code in _codes(checked):
        name = "busy" if code == BUSY else f"idle_{Cause(code).name.lower()}"
        cycles = [checked.result.counters[f"{array}_{name}"] for array in ARRAYS]
        shares = [f"{n / checked.cycles:.2%}" for n in cycles]
        colour = _variable(COLOURS[code])
        rows.append({"name": NAMES[code], "colour": colour, "text": texts[code], "cycles": cycles, "shares": shares})
    return rows


def traffic(checked: Checked) -> dict[str, int]:
    """Bytes on the bus by tensor."""
    counters = checked.result.counters
    read = {name: counters[f"read_bytes_{name}"] for name in ("q", "k", "v", "other")}
    written = {name: counters[f"written_bytes_{name}"] for name in ("o", "lse")}
    return {name: (read | written)[name] for name in TENSOR_COLOURS}


def least_traffic(checked: Checked) -> dict[str, int]:
    """Bytes of the tensors themselves, of K and V the keys that exist: what has to be moved at least once."""
    s, keys = checked.problem.shape, checked.problem.keys
    element, out = checked.params.input.bits // 8, checked.params.output.bits // 8
    queries = s.B * s.Hq * s.L
    least = {"q": queries * s.E * element, "o": queries * s.F * out, "lse": queries * LSE_BYTES}
    return least | {"k": s.B * s.Hkv * keys * s.E * element, "v": s.B * s.Hkv * keys * s.F * element}


def traffic_rows(checked: Checked, moved: Mapping[str, int], least: Mapping[str, int]) -> list[dict[str, Any]]:
    total = max(sum(moved.values()), 1)
    rows = []
    for name, size in moved.items():
        whole = least.get(name, 0)
        rows.append(
            {
                "name": TENSOR_LABELS[name],
                "colour": _variable(TENSOR_COLOURS[name]),
                "direction": "written" if name in ("o", "lse") else "read",
                "bytes": size,
                "least": whole or None,
                "times": f"{size / whole:.2f}" if whole else "",
                "share": f"{size / total:.1%}",
            }
        )
    return rows


def accuracy_rows(checked: Checked, found: Accuracy) -> list[tuple[str, str]]:
    e, name = checked.error, checked.params.output.name
    return [
        ("outputs compared with float64", table.count(found.outputs)),
        ("outputs that are no numbers", table.count(found.others)),
        ("exact answer, correctly rounded", f"{found.as_rounded:.2%}"),
        (f"within one last place of {name}", f"{found.within_one:.2%}"),
        ("largest error, absolute", table.three_digits(e.max_abs)),
        ("relative RMSE", table.three_digits(e.relative_rmse)),
        (f"relative RMSE of rounding to {name}", table.three_digits(e.rounding_rmse)),
        ("their ratio", f"{e.ratio:.4f}"),
    ]


def predicted(checked: Checked, request: RunRequest) -> Prediction | None:
    """What the model says; nothing for a memory that pauses at random, which it does not describe."""
    if request.stall:
        return None
    p = checked.problem
    lengths = None if p.keys == p.shape.S else (p.keys,) * p.shape.B
    work = Work(shape=p.shape, causal=p.causal, offset=p.offset, key_lengths=lengths, lse=True)
    return predict(checked.params, work, Memory(latency=request.latency, bandwidth=request.bandwidth))


def counter_rows(checked: Checked, model: Prediction | None) -> list[dict[str, Any]]:
    """Every counter: measured, what the model says, and what it counts."""
    counters = checked.result.counters
    rows = []
    for name, text in counter_meanings().items():
        expected = None if model is None else model.counters.get(name)
        off = None if expected is None else expected - counters[name]
        rows.append({"name": name, "measured": counters[name], "model": expected, "off": off, "text": text})
    return rows


def command(request: RunRequest, extra: Sequence[str] = ()) -> str:
    """What to type for the same run."""
    words = ["hwgen", "report"]
    for field in fields(RunRequest):
        value = getattr(request, field.name)
        if value != field.default:
            words += [f"--{field.name.replace('_', '-')}", *_words(field.name, value)]
    return shlex.join([*words, *extra])


def _words(name: str, value: Any) -> list[str]:
    """An argument's value as it is typed."""
    if name == "shape":
        return [",".join(map(str, value))]
    if name == "set":
        return list(value)
    if value is True:
        return []
    return [value.as_posix() if isinstance(value, Path) else str(value)]
