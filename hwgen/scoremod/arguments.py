"""What score functions read besides their arguments: numbers that are loaded at run time, and the bias."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwgen.errors import InputError
from hwgen.scoremod.real import LN2, fixed
from hwgen.scoremod.values import COMPARISONS, OPERATORS, Source, Tracer, Value, active, refuse

_contents: ContextVar[Mapping[int, NDArray[Any]]] = ContextVar("contents", default=MappingProxyType({}))


@contextmanager
def contents(numbers: Mapping[int, NDArray[Any]]) -> Iterator[None]:
    """Within it the tables and parameters with these `id`s hold other numbers; for score functions run on arrays."""
    token = _contents.set({**_contents.get(), **numbers})
    try:
        yield
    finally:
        _contents.reset(token)


KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "real"}


class Stored(Source):
    """Numbers loaded at run time, all in low .. high. Raises InputError for a bad name, or numbers of no such kind, not
    finite, or out of range."""

    def __init__(
        self, values: ArrayLike, name: str | None, low: float | None, high: float | None, kind: str = ""
    ) -> None:
        array = np.asarray(values)
        if name is not None and not (isinstance(name, str) and name.isidentifier() and name.isascii()):
            raise InputError(f"the name of a table or parameter must be a word, not {name!r}")
        self.name = name
        if array.dtype.kind not in KINDS or array.size == 0:
            raise InputError(f"{self.title} needs numbers, not {array.dtype} of shape {array.shape}")
        self.kind = kind or KINDS[array.dtype.kind]
        self.shape, self.size = array.shape, array.size
        exact: Any = {"boolean": np.bool_, "integer": np.int64, "real": np.float64}[self.kind]
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{self.title} must hold finite numbers")
        self.values = array.astype(exact)
        lowest, highest = self.values.min(), self.values.max()
        self.low = self._default(lowest, highest, True) if low is None else low
        self.high = self._default(lowest, highest, False) if high is None else high
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(f"{self.title}: low={self.low!r} and high={self.high!r} must be finite and in order")
        self.check(self.values)

    @property
    def title(self) -> str:
        return self.name or type(self).__name__

    def _default(self, lowest: Any, highest: Any, is_low: bool) -> float:
        """The ends of the range that a sign and a power of two describe."""
        if self.kind == "boolean":
            return 0 if is_low else 1
        if self.kind == "integer":
            bits = max(int(highest).bit_length(), (~int(lowest)).bit_length() if lowest < 0 else 1)
            return (-(1 << bits) if lowest < 0 else 0) if is_low else (1 << bits) - 1
        size = max(abs(float(lowest)), abs(float(highest)))
        if size == 0:
            size = 1.0
        mantissa, exponent = math.frexp(size)
        size = size if mantissa == 0.5 else 2.0**exponent
        return (-size if lowest < 0 else 0.0) if is_low else size

    def check(self, values: ArrayLike) -> NDArray[Any]:
        """Other contents, as an array of the shape and kind of these. Raises InputError for a wrong shape, or numbers
        that are out of range or no integers where these are."""
        array = np.asarray(values)
        if array.shape != self.shape:
            raise InputError(f"{self.title} must have shape {self.shape}, not {array.shape}")
        if array.dtype.kind not in KINDS or (self.kind != "real" and (array != np.floor(array)).any()):
            raise InputError(f"{self.title} must hold {'numbers' if self.kind == 'real' else self.kind + 's'}")
        bad = array[~((array >= self.low) & (array <= self.high))]
        if bad.size:
            raise InputError(f"{self.title} must lie in {self.low:g} .. {self.high:g}, not {bad.flat[0]:g}")
        return array.astype(self.values.dtype)

    def current(self) -> NDArray[Any]:
        """The numbers that functions run on arrays see."""
        return _contents.get().get(id(self), self.values)

    def same(self, other: Source) -> bool:
        return (
            isinstance(other, Stored)
            and (self.table, self.kind, self.shape, self.low, self.high)
            == (other.table, other.kind, other.shape, other.low, other.high)
            and bool((self.values == other.values).all())
        )


class Table(Stored):
    """A table of any number of dimensions, indexed with as many integers: `table[h]`, `table[b, q_idx]`.

    Its shape belongs to the hardware, its contents are loaded at run time. They stay integers, booleans or reals, in
    low .. high, which by default is the range that the number of bits of `values` and their sign allow. The index of an
    element in row-major order is clamped to the table; nothing else is checked.
    """

    table = True

    def __init__(
        self, values: ArrayLike, name: str | None = None, low: float | None = None, high: float | None = None
    ) -> None:
        super().__init__(values, name, low, high)
        if not self.shape:
            raise InputError(f"{self.title} needs a dimension; a single number is a Parameter")

    def __getitem__(self, index: Any) -> Any:
        indices = index if isinstance(index, tuple) else (index,)
        indices = tuple(i.now() if isinstance(i, Source) else i for i in indices)
        if len(indices) != len(self.shape):
            refuse(f"{self.title} has {len(self.shape)} dimensions and is indexed with {len(indices)} numbers")
        tracer = active()
        if tracer is None:
            return self._look_up(indices)
        lifted = [tracer.lift(i) for i in indices]
        for i in lifted:
            if i.kind != "integer":
                refuse(f"{self.title} is indexed with a {i.kind} number; an index must be an integer")
        place: Any = 0
        for i, size in zip(lifted, self.shape, strict=True):
            place = place * size + i
        found = tracer.source(self, tracer.lift(place).node)
        found.scored = any(i.scored for i in lifted)
        return found

    def _look_up(self, indices: tuple[Any, ...]) -> Any:
        place: Any = 0
        for i, size in zip(indices, self.shape, strict=True):
            array = np.asarray(i)
            if array.dtype.kind not in "iu":
                refuse(f"{self.title} is indexed with {array.dtype}; an index must be an integer")
            place = place * size + array.astype(np.int64)
        return self.current().reshape(-1)[np.clip(place, 0, self.size - 1)]

    def __iter__(self) -> Any:
        refuse(f"{self.title} cannot be iterated over; index it")

    def now(self) -> Any:
        refuse(f"{self.title} is used without an index")


class Parameter(Stored):
    """A number loaded at run time, in low .. high. It is an integer if all three are."""

    def __init__(self, name: str, value: float, low: float, high: float) -> None:
        if np.ndim(value):
            raise InputError(f"{name} needs one number; a Table holds several")
        kinds = [np.asarray(x).dtype.kind for x in (value, low, high)]
        super().__init__(value, name, low, high, "" if set(kinds) == {"b"} else "real" if "f" in kinds else "integer")

    def now(self) -> Any:
        tracer = active()
        return self.current()[()] if tracer is None else tracer.source(self)

    __hash__ = object.__hash__
    __array_ufunc__ = None
    """NumPy leaves operators to this class."""

    def __bool__(self) -> bool:
        return bool(self.now())

    def __index__(self) -> int:
        return operator.index(self.now())

    def __float__(self) -> float:
        return float(self.now())

    def __int__(self) -> int:
        return int(self.now())

    def __neg__(self) -> Any:
        return -self.now()

    def __abs__(self) -> Any:
        return abs(self.now())

    def __invert__(self) -> Any:
        return ~self.now()


def _forward(name: str) -> None:
    method = getattr(operator, f"__{name}__")

    def plain(self: Parameter, other: Any) -> Any:
        return method(self.now(), other.now() if isinstance(other, Source) else other)

    def reverse(self: Parameter, other: Any) -> Any:
        return method(other, self.now())

    setattr(Parameter, f"__{name}__", plain)
    if name in OPERATORS:
        setattr(Parameter, f"__r{name}__", reverse)


for _name in (*OPERATORS, *COMPARISONS):
    _forward(_name)


class BiasTensor(Source):
    """A tensor (batch, query head, query, key) that is streamed from memory, used as `bias[b, h, q_idx, kv_idx]`.

    Sizes of 1 are stretched. Of numbers, -inf hides the key; `finite` promises that there is none, and lets the element
    be used like any other number. Of booleans, false hides the key.
    """

    name = "bias"

    def __init__(self, array: Any, finite: bool = False) -> None:
        self.array, self.finite = np.asarray(array), finite
        if self.array.ndim != 4:
            raise InputError(f"a bias has 4 dimensions (batch, head, query, key), not shape {self.array.shape}")
        self.kind = "boolean" if self.array.dtype.kind == "b" else "real"
        if finite and self.kind == "real" and np.isneginf(self.array.astype(np.float64)).any():
            raise InputError("a bias with finite=True holds -inf")

    def __getitem__(self, index: Any) -> Any:
        tracer = active()
        if tracer is None:
            parts = []
            for i, size in zip(index, self.array.shape, strict=True):
                place = np.asarray(i)
                parts.append(np.zeros_like(place) if size == 1 else place)
            found = self.array[tuple(parts)]
            return found if self.kind == "boolean" else found.astype(np.float64)
        return self._traced(tracer, index)

    def _traced(self, tracer: Tracer, index: Any) -> Value:
        builder = tracer.builder
        wanted = [builder.input(name) for name in ("b", "h", "q", "kv")]
        given = list(index) if isinstance(index, tuple) else [index]
        given = [i.node if isinstance(i, Value) and i.kind == "integer" else None for i in given]
        if given != wanted:
            refuse("a BiasTensor is streamed in order and takes no other index than bias[b, h, q_idx, kv_idx]")
        if tracer.bias not in (None, self):
            refuse("there are two BiasTensors; only one is streamed")
        tracer.bias = self
        if self.kind == "boolean":
            return tracer.boolean(builder.invert(builder.input("hidden")))
        hidden = None if self.finite else builder.input("hidden")
        return Value(tracer, "real", real=fixed(builder, builder.input("bias"), LN2), hidden=hidden)

    def now(self) -> Any:
        refuse("a BiasTensor is used without its index [b, h, q_idx, kv_idx]")

    def same(self, other: Source) -> bool:
        return other is self
