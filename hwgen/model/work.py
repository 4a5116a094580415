"""What an attention problem asks of a machine, as far as time and traffic depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from golden.exact import Shape
from hwgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Work:
    """One attention problem, without its numbers.

    shape:       B, Hq, Hkv, L queries, S keys, E, F
    causal:      query i sees key j only if j <= i + offset
    key_lengths: (B,), of each batch entry the first keys exist only; all if None
    lse:         the log-sum-exp of each query is written too

    Raises InputError for sizes below one, heads that cannot be shared evenly, or key lengths that cannot be.
    """

    shape: Shape
    causal: bool = False
    offset: int = 0
    key_lengths: tuple[int, ...] | None = None
    lse: bool = False

    def __post_init__(self) -> None:
        s = self.shape
        for name, size in s._asdict().items():
            if size < 1:
                raise InputError(f"{name} must be at least 1, not {size}")
        if s.Hq % s.Hkv:
            raise InputError(f"Hq={s.Hq} must be a multiple of Hkv={s.Hkv}")
        if self.offset and not self.causal:
            raise InputError(f"the causal offset {self.offset} has no effect without a causal mask")
        if self.key_lengths is not None:
            self._check_lengths(self.key_lengths)

    def _check_lengths(self, lengths: tuple[int, ...]) -> None:
        s = self.shape
        if len(lengths) != s.B:
            raise InputError(f"there must be {s.B} key lengths, one for each batch entry, not {len(lengths)}")
        for length in lengths:
            if not 0 <= length <= s.S:
                raise InputError(f"a key length must lie in 0 .. {s.S}, not {length}")

    @property
    def group(self) -> int:
        """Query heads that share a key/value head."""
        return self.shape.Hq // self.shape.Hkv

    @property
    def keys(self) -> tuple[int, ...]:
        """(B,): keys of each batch entry."""
        return (self.shape.S,) * self.shape.B if self.key_lengths is None else self.key_lengths

    @property
    def pairs(self) -> int:
        """Allowed (query, key) pairs of all query heads."""
        return self.shape.Hq * sum(map(self._head_pairs, self.keys))

    def _head_pairs(self, keys: int) -> int:
        """Of one head: query i sees `clamp(i + offset + 1, 0, keys)` keys if causal."""
        length = self.shape.L
        if not self.causal:
            return length * keys
        # Queries from `first` on see a key, those from `full` on see all of them.
        first = min(max(-self.offset, 0), length)
        full = min(max(keys - self.offset - 1, first), length)
        rising = full - first
        return rising * (first + self.offset + 1) + rising * (rising - 1) // 2 + (length - full) * keys
