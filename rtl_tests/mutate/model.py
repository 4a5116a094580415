"""Mutants of the integer model, `golden/bitexact`, against the everyday tests that compare it with exact attention."""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

import golden

PACKAGE = "golden.bitexact"
TESTS = {
    "convert": ["test_convert"],
    "exp2": ["test_bitexact_exp2"],
    "normalise": ["test_normalise"],
    "numerics": ["test_numerics"],
    "attention": ["test_bitexact_attention", "test_scoremod_attention"],
}
"""Of each module the tests that are asked first; those of the others and of the accuracy come behind them."""

LONG = "not many_keys and not whole_head"
"""Tests that take longer than they tell."""
SECONDS = 120

BINARY: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult}
BINARY |= {ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
COMPARE: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
COMPARE |= {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


@dataclass(frozen=True)
class ModelMutant:
    """One change of one module's source, `which` of all that there could be."""

    number: int
    module: str
    which: int
    line: int
    kind: str
    before: str
    after: str


def variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in a node's place."""
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield "constant", ast.Constant(value + 1)
            yield "constant", ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield "constant", ast.Constant(value * 2 + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            yield "operator", ast.BinOp(left, BINARY[type(op)](), right)
            if isinstance(op, (ast.Sub, ast.FloorDiv, ast.LShift, ast.RShift)):
                yield "swap", ast.BinOp(right, op, left)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
            yield "operator", ast.Compare(left, [COMPARE[type(op)]()], [right])
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield "operator", operand
        case ast.BoolOp(op=op, values=values):
            yield "operator", ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "swap", ast.IfExp(test, orelse, body)
        case ast.If(test=test, body=body, orelse=orelse):
            for stuck in (True, False):
                yield "stuck", ast.If(ast.Constant(stuck), body, orelse)
        case ast.Slice(lower=lower, upper=upper, step=step) if lower is not None:
            yield "index", ast.Slice(ast.BinOp(lower, ast.Add(), ast.Constant(1)), upper, step)


def _is_text(node: ast.AST) -> bool:
    """Docstrings, annotations and messages say nothing that a test could miss."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, (ast.Raise, ast.JoinedStr, ast.arg, ast.Import, ast.ImportFrom))


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every child that may be replaced: its parent, the field, the place in the field if that is a list."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield node, name, index
                yield from _places(child)


def _source(module: str) -> str:
    return (Path(golden.__file__).parent / "bitexact" / f"{module}.py").read_text()


def source_line(mutant: ModelMutant) -> str:
    """The line that is changed."""
    return _source(mutant.module).splitlines()[mutant.line - 1].strip()


def mutants_of(module: str) -> Iterator[ModelMutant]:
    """All mutants of a module of the package, numbered from 0."""
    number = 0
    for parent, name, index in list(_places(ast.parse(_source(module)))):
        node = _child(parent, name, index)
        line = getattr(node, "lineno", getattr(parent, "lineno", 0))
        for kind, other in variants(node):
            texts = [ast.unparse(n).splitlines()[0] for n in (node, other)]
            yield ModelMutant(number, module, number, line, kind, *texts)
            number += 1


def changed(mutant: ModelMutant) -> str:
    """The module's source with the change in it."""
    tree = ast.parse(_source(mutant.module))
    number = 0
    for parent, name, index in list(_places(tree)):
        for _, other in variants(_child(parent, name, index)):
            if number == mutant.which:
                _put(parent, name, index, other)
                return ast.unparse(tree)
            number += 1
    raise ValueError(f"golden/bitexact/{mutant.module}.py has no mutant {mutant.which}")


def _child(parent: ast.AST, name: str, index: int | None) -> ast.AST:
    whole: Any = getattr(parent, name)
    return whole if index is None else whole[index]


def _put(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def draw(count: int, seed: int) -> list[ModelMutant]:
    """So many, the modules in turn, numbered from 1; the same for the same seed."""
    rng = Random(f"{seed} model")
    left = {module: list(mutants_of(module)) for module in TESTS}
    chosen: list[ModelMutant] = []
    while len(chosen) < count and any(left.values()):
        for module in [module for module in left if left[module]]:
            if len(chosen) < count:
                mutant = left[module].pop(rng.randrange(len(left[module])))
                chosen.append(replace(mutant, number=len(chosen) + 1))
    return chosen


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant's source in place of its module's."""

    def __init__(self, mutant: ModelMutant) -> None:
        self._name, self._source = f"{PACKAGE}.{mutant.module}", changed(mutant)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._name, "exec"), module.__dict__)


def is_killed(mutant: ModelMutant) -> bool:
    """Whether a test fails, in a process of its own. A test that does not end is one that fails."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(_tested(mutant))
        os._exit(1)
    return os.waitpid(child, 0)[1] != 0


def _tested(mutant: ModelMutant) -> int:
    signal.alarm(SECONDS)
    for name in [name for name in sys.modules if name.startswith("golden")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(mutant))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    first = TESTS[mutant.module]
    others = dict.fromkeys(name for names in TESTS.values() for name in names)
    names = [*first, *(name for name in (*others, "test_accuracy") if name not in first)]
    folder = Path(golden.__file__).parent / "tests"
    files = [str(folder / f"{name}.py") for name in names]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", LONG, *files]))
