"""What hardware a score function becomes: its operations, cycles, registers, multipliers and tables."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from golden.scoremod.program import Format, Program
from hwgen import table
from hwgen.config import did_you_mean
from hwgen.control.record import ARGUMENT_BYTES, HEADER_BYTES, has_record, record_bytes
from hwgen.errors import ScoreError
from hwgen.params import Params
from hwgen.scoremod.functions import CURVES
from hwgen.scoremod.library import LIBRARY
from hwgen.scoremod.schedule import Graph, Schedule, product_levels, schedule
from hwgen.scoremod.trace import Traced, trace
from hwgen.softmax.pair import arrivals, pair_latency
from hwgen.softmax.scale import ScoreScale

PARTS = {"query": "once a query", "key": "once a visit", "lane": "once a pair, in every lane"}
"""The parts of a program (see `hwgen.scoremod.partition`) and when they are computed."""


def multipliers(graph: Graph, i: int) -> int:
    """Multipliers of 18x18 bits that an operation takes."""
    node = graph.program.nodes[i]
    if node.op in ("tanh", "exp2"):
        return 2
    if node.op != "multiply" or graph.is_wiring(i) or any(graph.format(a).width == 1 for a in node.args):
        return 0
    return len(product_levels(graph, i)[0])


def part_facts(found: Schedule) -> dict[str, Any]:
    """What one part takes.

    registers, balancing: bits, the second are those of the first that only make values wait for each other
    table_bits, rom_bits: of run-time tables and of constant ones; parameter_bits: registers of parameters
    """
    graph = found.graph
    program = graph.program
    nodes = range(len(program.nodes))
    ports: dict[str, int] = {}
    for node in program.nodes:
        if node.op == "table":
            ports[node.name] = ports.get(node.name, 0) + 1
    scalars = {node.name: node.format.width for node in program.nodes if node.op == "parameter"}
    functions = [program.nodes[i].op for i in nodes if program.nodes[i].op in CURVES]
    return {
        "inputs": list(program.inputs),
        "outputs": [name for name, _ in program.outputs],
        "operations": sum(graph.cycles(i) > 0 or graph.is_gate(i) for i in nodes),
        "latency": found.latency if program.outputs else 0,
        "registers": found.register_bits,
        "balancing": found.balancing_bits,
        "multipliers": sum(multipliers(graph, i) for i in nodes),
        "table_bits": sum(program.argument(n).size * program.argument(n).format.width for n in ports),
        "table_reads": sum(ports.values()),
        "rom_bits": sum(CURVES[op].rom_bits for op in functions),
        "parameter_bits": sum(scalars.values()),
    }


def node_facts(found: Schedule) -> list[dict[str, Any]]:
    """Every node: what it is, its format and range, when it takes its operands, when it is there, and how many cycles
    its result waits behind that. Nodes that depend on arguments alone have no cycles."""
    graph, rows = found.graph, []
    for i, node in enumerate(graph.program.nodes):
        f, still = node.format, graph.static[i]
        rows.append(
            {
                "node": i,
                "operation": node.op,
                "detail": detail(graph, i),
                "operands": list(node.args),
                "format": str(f),
                "low": f.low,
                "high": f.high,
                "frac": f.frac,
                "start": None if still else found.start[i],
                "valid": None if still else found.valid[i],
                "waits": found.delays[i],
                "multipliers": multipliers(graph, i),
            }
        )
    return rows


def detail(graph: Graph, i: int) -> str:
    """What an operation's name does not say: a number, or a name."""
    node = graph.program.nodes[i]
    if node.op in ("left", "right", "round", "low"):
        return str(node.number)
    if node.op == "constant":
        return real(node.number, node.format)
    if node.op == "clamp":
        return f"{real(node.format.low, node.format)} .. {real(node.format.high, node.format)}"
    return node.name


def real(code: int, format: Format) -> str:
    """The number that a code stands for."""
    return f"{code / 2**format.frac:.6g}" if format.frac else str(code)


def machine(params: Params, program: Program) -> Params:
    """The machine with a score program."""
    return Params(params.config.replace({"score": program}))


def schedules(params: Params) -> dict[str, Schedule]:
    """The schedule of every part of the machine's score program, with its inputs as they come in the machine."""
    partition = params.partition
    return {
        "query": schedule(partition.query),
        "key": schedule(partition.key),
        "lane": schedule(partition.lane, arrivals(params)),
    }


def facts(name: str, preset: str, params: Params) -> dict[str, Any]:
    """Everything about the machine's score program with its nodes, as JSON holds it."""
    parts = schedules(params)
    found = machine_facts(params)
    found["parts"] = {part: found["parts"][part] | {"nodes": node_facts(parts[part])} for part in parts}
    return {"score": name, "about": about(name), "preset": preset, "lanes": params.lanes} | found


def machine_facts(params: Params) -> dict[str, Any]:
    """What the machine's score program takes and gives, and what each of its parts costs.

    record_bytes:  of the score record in memory that arguments are loaded from, 0 if there is none
    bias:          whether the record names a bias
    segmented:     whether only keys that a query of a block may see are visited
    added_latency: cycles that a score takes longer to the softmax
    """
    program = params.score
    assert program is not None
    parts = schedules(params)
    return {
        "inputs": list(program.inputs),
        "outputs": {label: str(program.nodes[i].format) for label, i in program.outputs},
        "arguments": _argument_facts(program, parts),
        "record_bytes": record_bytes(params) if has_record(params) else 0,
        "bias": params.has_bias,
        "segmented": params.segmented,
        "added_latency": pair_latency(params) - ScoreScale.LATENCY,
        "parts": {part: part_facts(found) for part, found in parts.items()},
    }


def _argument_facts(program: Program, parts: Mapping[str, Schedule]) -> list[dict[str, Any]]:
    """Parameters and tables: numbers r are stored as integers rint(r * factor * 2^frac) in low .. high, one a 32-bit
    word from `first_word` of all words on, which is the byte `offset` of the score record."""
    return [
        {
            "name": a.name,
            "size": a.size,
            "format": str(a.format),
            "first_word": program.argument_offset(a.name),
            "offset": HEADER_BYTES + ARGUMENT_BYTES * program.argument_offset(a.name),
            "low": a.low,
            "high": a.high,
            "frac": a.frac,
            "factor": a.factor,
            "in": [part for part, found in parts.items() if a in found.graph.program.arguments],
        }
        for a in program.arguments
    ]


def description(name: str, found: Traced, params: Params) -> dict[str, Any]:
    """The section `score` of a machine's description: what the machine's program was made of, where that is a file its
    text, and of every argument the parameter or table whose numbers it holds, with the integers to begin with."""
    path, colon, _ = name.rpartition(":")
    facts = machine_facts(params)
    names, codes = {id(source): own for own, source in found.sources.items()}, found.codes()
    for argument in facts["arguments"]:
        own = argument["name"]
        argument |= {"of": names[id(found.origin[own])], "contents": codes[own].tolist()}
    text = Path(path).read_text(encoding="utf-8") if colon else None
    return {"name": name, "about": about(name), "text": text} | facts


def text(found: Mapping[str, Any]) -> str:
    """The facts as tables."""
    blocks = [table.pairs(_summary(found)), _parts_table(found)]
    if found["arguments"]:
        blocks.append(_arguments_table(found))
    for part, label in PARTS.items():
        nodes = found["parts"][part]["nodes"]
        if nodes:
            blocks.append(f"{part}: {label}\n\n{_nodes_table(nodes)}")
    return "\n\n".join(blocks)


def _summary(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    outputs = ", ".join(f"{label} {format}" for label, format in found["outputs"].items())
    return [
        ("score", found["score"]),
        *([("", found["about"])] if found["about"] else []),
        ("preset", f"{found['preset']}, {found['lanes']} lanes"),
        ("outputs", outputs),
        ("added cycles", str(found["added_latency"])),
    ]


def _parts_table(found: Mapping[str, Any]) -> str:
    names = {
        "operations": "operations",
        "latency": "cycles",
        "registers": "register bits",
        "balancing": "balancing",
        "multipliers": "18x18",
        "parameter_bits": "parameter bits",
        "table_bits": "table bits",
        "rom_bits": "ROM bits",
    }
    rows = [(part, *(table.count(found["parts"][part][key]) for key in names)) for part in PARTS]
    return table.columns(("part", *names.values()), rows)


def _arguments_table(found: Mapping[str, Any]) -> str:
    rows = [
        (a["name"], a["format"], str(a["size"]), str(a["first_word"]), ", ".join(a["in"])) for a in found["arguments"]
    ]
    return table.columns(("argument", "format", "words", "first word", "part"), rows, left=("format", "part"))


def _nodes_table(nodes: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for node in nodes:
        unit = Format(node["low"], node["high"], node["frac"])
        span = f"{real(unit.low, unit)} .. {real(unit.high, unit)}"
        operands = " ".join(map(str, node["operands"]))
        cycles = "" if node["valid"] is None else str(node["valid"])
        waits = str(node["waits"] or "")
        operation = f"{node['operation']} {node['detail']}".strip()
        rows.append((str(node["node"]), operation, operands, node["format"], span, cycles, waits))
    header = ("node", "operation", "of", "format", "range", "cycle", "waits")
    return table.columns(header, rows, left=("operation", "of", "format", "range"))


# Which score


def about(name: str) -> str:
    """What the library says of its example; nothing for others."""
    return LIBRARY[name].about if name in LIBRARY else ""


def traced(name: str, params: Params) -> Traced:
    """The library's example of a name, or `file.py:function`: a score_mod (five parameters), a mask_mod (four), or what
    `trace` gave. Raises ScoreError."""
    path, colon, function = name.rpartition(":")
    if colon:
        found = _loaded(Path(path), function)
        if isinstance(found, Traced):
            return found
        given: dict[str, Any] = {_kind(name, found): found}
        return trace(**given, numerics=params.numerics)
    if name not in LIBRARY:
        hint = did_you_mean(name, LIBRARY)
        raise ScoreError(f"unknown score function {name!r}{hint}; your own one is file.py:function")
    return LIBRARY[name](params.numerics)


def _kind(name: str, found: object) -> str:
    """Which argument of `trace` a function is."""
    kinds = {5: "score_mod", 4: "mask_mod"}
    parameters = len(inspect.signature(found).parameters) if callable(found) else 0
    if parameters not in kinds:
        wanted = "score_mod(score, b, h, q_idx, kv_idx), a mask_mod(b, h, q_idx, kv_idx) or traced"
        raise ScoreError(f"{name} is no {wanted}")
    return kinds[parameters]


def _loaded(path: Path, name: str) -> object:
    """What a Python file calls `name`."""
    if not path.is_file():
        raise ScoreError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except ScoreError:
        raise
    except Exception as error:
        raise ScoreError(f"{path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ScoreError(f"{path} has no {name!r}")
    return getattr(module, name)


def run(name: str, preset: str, params: Params, *, json_wanted: bool = False, picture: Path | None = None) -> int:
    """`hwgen score`."""
    from hwgen.commands import to_json

    program = traced(name, params).program
    params = machine(params, program)
    found = facts(name, preset, params)
    if picture is not None:
        from hwgen.scoremod.graph import draw

        draw(picture, name, schedules(params))
    if json_wanted:
        print(to_json(found), end="")
    else:
        print(text(found))
        if picture is not None:
            print(f"\npicture  {picture}")
    return 0
