"""What the verbs of the command line do; `hwgen.cli` has checked that their tools are there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen import table
from hwgen.checked import Checked, as_json, run_checked, table_rows
from hwgen.control import register_exports
from hwgen.control.descriptor import c_struct
from hwgen.describe import TOPS, describe, module_name
from hwgen.emit import to_verilog
from hwgen.inputs import make_problem
from hwgen.params import Params
from hwgen.presets import PRESETS
from hwgen.progress import step
from hwgen.request import RunRequest, configured
from hwgen.scoremod import report as score_report
from hwgen.writing import replacing, write_text

DEMO_HEAD = (3, 2)
"""Layer and head of the demo's picture, counted from 0: its weights follow the clauses of the text."""


def generate(
    name: str,
    assignments: Sequence[str],
    folder: Path,
    top: str = "accelerator",
    *,
    score: str | None = None,
    block_list: bool = False,
) -> int:
    """Write `<name>.v` and `<name>.json`, for an accelerator its registers in all forms too; the same configuration
    gives the same bytes. `score` names a score function as for `hwgen score`."""
    params = configured(name, assignments)
    if block_list:
        params = Params(params.config.replace({"block_list": True}))
    facts_of_score = None
    if score is not None:
        traced = score_report.traced(score, params)
        params = score_report.machine(params, traced.program)
        facts_of_score = score_report.description(score, traced, params)
    start = time.perf_counter()
    with step("generating"):
        part = TOPS[top](params)
        verilog = to_verilog(part, module_name(top))
    seconds = time.perf_counter() - start
    facts = describe(params, top, part, verilog, name, facts_of_score)
    texts = {f"{name}.v": verilog, f"{name}.json": to_json(facts)}
    if top == "accelerator":
        texts |= interface_texts(name, params)
    for file, text in texts.items():
        write_text(folder / file, text)
    print(table.pairs(_generate_rows(facts, seconds, [folder / file for file in texts])))
    return 0


def interface_texts(name: str, params: Params) -> dict[str, str]:
    """What a host has to know, by file name: for C, Python, people and register tools."""
    return {
        f"{name}.h": register_exports.c_header(params, c_struct()),
        f"{name}_registers.py": register_exports.python_module(params),
        f"{name}_registers.md": register_exports.markdown(params),
        f"{name}_registers.rdl": register_exports.system_rdl(params),
    }


def _generate_rows(facts: dict[str, Any], seconds: float, written: list[Path]) -> list[tuple[str, str]]:
    c, bits = facts["configuration"], facts["on_chip_bits"]
    arrays = f"score {c['rows_e']}x{c['cols']}, value {c['rows_f']}x{c['cols']}, {c['slots']} slots"
    size = f"{facts['verilog']['modules']} modules, {table.count(facts['verilog']['bytes'])} bytes"
    return [
        ("preset", f"{facts['preset']} {facts['configuration_hash']}"),
        ("arrays", arrays),
        ("softmax lanes", str(facts["softmax_lanes"])),
        ("head dimensions", f"E {c['head_e']}, F {c['head_f']}"),
        ("MACs/cycle", table.count(facts["macs_per_cycle"])),
        ("multipliers", table.count(facts["multipliers"]["total"])),
        ("on-chip bits", table.count(bits["total"])),
        *_score_rows(facts),
        ("Verilog", f"{size} in {seconds:.1f} s"),
        *zip(["written"] + [""] * (len(written) - 1), map(str, written), strict=True),
    ]


def _score_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What becomes of scores, if anything does."""
    rows = []
    if "score" in facts:
        found = facts["score"]
        words = f"{table.count(sum(a['size'] for a in found['arguments']))} argument words"
        rows.append(("score", f"{found['name']}, {words}, {found['added_latency']} cycles added"))
    if facts["configuration"]["block_list"]:
        rows.append(("keys", "may be listed"))
    return rows


def to_json(value: object) -> str:
    """JSON as files and `--json` show it."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class SimRequest(RunRequest):
    """The arguments of `hwgen sim`, under the names they have there."""

    waves: Path | None = None
    picture: Path | None = None
    trace: Path | None = None
    json: bool = False


def sim(request: SimRequest) -> int:
    """Simulate, compare, report; raises SimulationError behind the report if a bit differs."""
    params = request.params
    problem = request.problem(params)
    trace = request.picture is not None or request.trace is not None
    checked = run_checked(request.preset, params, problem, memory=request.memory, trace=trace, waves=request.waves)
    rows = table_rows(checked)
    for name, path in (("picture", request.picture), ("trace", request.trace), ("waves", request.waves)):
        if path is not None:
            rows.append((name, str(path)))
    if request.picture is not None:
        _draw(request.picture, checked)
    if request.trace is not None:
        _write_trace(request.trace, checked)
    _print_report(checked, rows, request.json)
    checked.require_equal()
    return 0


def _print_report(checked: Checked, rows: Sequence[tuple[str, str]], json_wanted: bool) -> None:
    if json_wanted:
        print(to_json(as_json(checked)), end="")
    else:
        print(table.pairs(rows))


def _draw(path: Path, checked: Checked, **options: Any) -> None:
    from hwgen.picture import draw

    with step("drawing"), replacing(path) as part:
        draw(part, checked, **options)


def _write_trace(path: Path, checked: Checked) -> None:
    from hwgen.report.perfetto import trace_text

    with step("writing the trace"):
        write_text(path, trace_text(checked))


def demo(folder: Path, json_wanted: bool) -> int:
    """Every attention head of a small encoder on one paragraph, back to back; every bit compared."""
    from golden.data import load_minilm

    params = configured("demo", ())
    data = load_minilm()
    tensors = {"q": data.q, "k": data.k, "v": data.v}
    source = "all-MiniLM-L6-v2 on a paragraph of 48 tokens: 6 layers of 12 heads, bf16"
    checked = run_checked("demo", params, make_problem(tensors, source, params), trace=True)
    layer, head = DEMO_HEAD
    title = f"Attention weights, layer {layer + 1}, head {head + 1}"
    _draw(folder / "demo.png", checked, head=layer * len(data.q[0]) + head, tokens=data.tokens, title=title)
    write_text(folder / "demo.json", to_json(as_json(checked)))
    written = [("written", str(folder / "demo.png")), ("", str(folder / "demo.json"))]
    _print_report(checked, [*table_rows(checked), *written], json_wanted)
    checked.require_equal()
    return 0


def presets(json_wanted: bool) -> int:
    """All presets with what they are for."""
    facts = [_preset_facts(name) for name in PRESETS]
    if json_wanted:
        print(to_json(facts), end="")
        return 0
    sizes = ("score", "value", "slots", "lanes", "E", "F", "queries", "MACs/cycle", "bus bits")
    header = ("preset", *sizes, "formats", "purpose")
    rows = []
    for fact in facts:
        c = fact["configuration"]
        arrays = (f"{c['rows_e']}x{c['cols']}", f"{c['rows_f']}x{c['cols']}")
        counts = (c["slots"], fact["softmax_lanes"], c["head_e"], c["head_f"], fact["queries_per_block"])
        formats = f"{c['in_format']}, {c['out_format']}"
        rates = (table.count(fact["macs_per_cycle"]), str(c["bus_bits"]))
        rows.append((fact["preset"], *arrays, *map(str, counts), *rates, formats, fact["purpose"]))
    print(table.columns(header, rows, left=("formats", "purpose")))
    return 0


def _preset_facts(name: str) -> dict[str, Any]:
    params = Params(PRESETS[name].config)
    return {
        "preset": name,
        "purpose": PRESETS[name].purpose,
        "configuration": asdict(params.config),
        "softmax_lanes": params.lanes,
        "queries_per_block": params.block,
        "macs_per_cycle": params.macs,
    }
