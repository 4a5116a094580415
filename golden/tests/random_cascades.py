"""Random cascades over one rank K, whole or in parts, for the analysis of passes."""

from __future__ import annotations

import random

from golden.cascade.cascade import Cascade

NAMES = [a + b for a in "ABCDEFGH" for b in "UVWXYZ"]


class Maker:
    """Grows a cascade Einsum by Einsum.

    whole, tiles, single: tensors with an element for each coordinate, for each tile, and without the rank
    suffix: whether a filter looks forward, so that no machine can go upwards only
    recurrences: how many tensors are iterative
    """

    def __init__(self, seed: int, *, tiled: bool) -> None:
        self.random = random.Random(seed)
        self.tiled = tiled
        self.names = self.random.sample(NAMES, len(NAMES))
        self.inputs = {name: ("K", "P") if self.random.random() < 0.3 else ("K",) for name in self.taken(2)}
        self.whole = {name: f"{name}[{self.k}{',p' * (len(ranks) > 1)}]" for name, ranks in self.inputs.items()}
        self.tiles: dict[str, str] = {}
        self.single: dict[str, str] = {}
        self.einsums: list[str] = []
        self.initial: list[str] = []
        self.suffix = False
        self.recurrences = 0

    @property
    def k(self) -> str:
        return "k1,k0" if self.tiled else "k"

    @property
    def step(self) -> str:
        return "k1" if self.tiled else "k"

    def taken(self, count: int) -> list[str]:
        return [self.names.pop() for _ in range(count)]

    def choose(self, tensors: dict[str, str]) -> str:
        return self.random.choice(list(tensors.values()))

    def some(self, *groups: dict[str, str]) -> str:
        """One to three factors, the first of the first group."""
        factors = [self.choose(groups[0])]
        for group in groups:
            if group and self.random.random() < 0.5:
                factors.append(self.choose(group))
        return " * ".join(factors)

    def add(self) -> None:
        kinds = [self.map, self.map, self.reduce, self.reduce, self.recur]
        kinds += [self.tile, self.spread, self.fold] if self.tiled else [self.filter]
        kinds += [self.combine] if self.single else []
        self.random.choice(kinds)()

    def put(self, group: dict[str, str], indices: str, right: str) -> None:
        (name,) = self.taken(1)
        if "p" in _variables(right) and "over p" not in right:
            indices = ",".join(filter(None, (indices, "p")))
        text = f"{name}[{indices}]" if indices else name
        self.einsums.append(f"{text} = {right}")
        group[name] = text

    def map(self) -> None:
        self.put(self.whole, self.k, f"exp({self.some(self.whole, self.whole, self.single)})")

    def reduce(self) -> None:
        over = self.k + ",p" * ("p" in _variables(right := self.some(self.whole, self.whole, self.single)))
        if "p" in _variables(right) and self.random.random() < 0.5:
            over = self.k
        kind = self.random.choice(("max", "add"))
        if over.endswith("p"):
            (name,) = self.taken(1)
            self.einsums.append(f"{name} = {kind} over {over}: {right}")
            self.single[name] = name
        else:
            self.put(self.single, "", f"{kind} over {over}: {right}")

    def combine(self) -> None:
        self.put(self.single, "", f"sqrt({self.some(self.single, self.single)})")

    def recur(self) -> None:
        """A state that goes on with each coordinate, or each tile: read later as a whole or at its end."""
        source = self.tiles if self.tiled else self.whole
        plain = {n: t for n, t in source.items() if "p" not in _variables(t)}
        if not plain or self.recurrences == 2:
            return
        (name,) = self.taken(1)
        begin = self.random.choice(["0", *(t for t in self.single.values() if "p" not in _variables(t))])
        self.initial.append(f"{name}[0] = {begin}")
        self.einsums.append(f"{name}[{self.step}+1] = {name}[{self.step}] / 2 + {self.choose(plain)}")
        group = self.tiles if self.tiled else self.whole
        group[name] = f"{name}[{self.step}{self.random.choice(('', '+1'))}]"
        self.single[name] = f"{name}[{self.step.upper()}]"
        self.recurrences += 1

    def filter(self) -> None:
        """Partial sums from either end."""
        plain = {n: t for n, t in self.whole.items() if t == f"{n}[k]"}
        relation = self.random.choice(("<=", "<=", ">="))
        (name,) = self.taken(1)
        self.einsums.append(f"{name}[i] = {self.choose(plain)[:-1]} : k{relation}i]" if plain else f"{name} = 0")
        if not plain:
            self.einsums.pop()
            return
        self.whole[name] = f"{name}[k]"
        self.suffix |= relation == ">="

    def tile(self) -> None:
        right = self.some(self.whole, self.single)
        self.put(self.tiles, "k1", f"max over k0: {right}")

    def spread(self) -> None:
        if self.tiles:
            self.put(self.whole, self.k, f"exp({self.some(self.whole, self.tiles)})")

    def fold(self) -> None:
        if self.tiles:
            right = self.some(self.tiles, self.tiles)
            self.put(self.single, "", f"max over k1: {right}")


def _variables(text: str) -> set[str]:
    return {v for bracket in text.replace("]", "[").split("[")[1::2] for v in bracket.split(",")}


def random_cascade(seed: int) -> tuple[Cascade, Maker]:
    """A cascade of three to nine Einsums; every other one has its rank in parts."""
    maker = Maker(seed, tiled=bool(seed % 2))
    if maker.tiled:
        views = {name: maker.taken(1)[0] for name in maker.inputs}
        for name, view in views.items():
            p = ",p" * (len(maker.inputs[name]) > 1)
            maker.einsums.append(f"{view}[k1,k0{p}] = {name}[k1*K0+k0{p}]")
        maker.whole = {v: f"{v}[k1,k0{',p' * (len(maker.inputs[n]) > 1)}]" for n, v in views.items()}
    for _ in range(maker.random.randint(3, 9)):
        maker.add()
    read = " ".join(e.partition(" = ")[2] for e in maker.einsums + maker.initial)
    inputs = {name: ranks for name, ranks in maker.inputs.items() if f"{name}[" in read}
    ranks = {"K": ("K1", "K0")} if maker.tiled else {"I": ("K",)} if "[i]" in " ".join(maker.einsums) else {}
    texts = maker.einsums or [f"Z = {maker.choose(maker.whole)}"]
    if not maker.einsums:
        inputs = {name: ranks_ for name, ranks_ in maker.inputs.items() if f"{name}[" in texts[0]}
    cascade = Cascade(
        name=f"random-{seed}",
        inputs=inputs,
        einsums=tuple(maker.random.sample(texts, len(texts))),  # type: ignore[arg-type]
        initial=tuple(maker.initial),  # type: ignore[arg-type]
        stop={maker.step: maker.step.upper()} if maker.recurrences else {},
        ranks=ranks,
    )
    return cascade, maker
