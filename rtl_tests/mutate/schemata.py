"""Many mutants in one text: each is asleep until the plus argument +mutant=K names it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random

from rtl_tests.mutate.operators import Change, changes
from rtl_tests.mutate.verilog import Site, mutable, parse

SELECTOR = """package mutation;
  function automatic int chosen();
    int found;
    return $value$plusargs("mutant=%d", found) ? found : 0;
  endfunction
  int number = chosen();
endpackage

"""


@dataclass(frozen=True)
class Mutant:
    """One change of one expression; `number` is its name in the text, from 1."""

    number: int
    room: str
    site: Site
    change: Change

    @property
    def before(self) -> str:
        return f"{self.site.before}{self.site.expression}{self.site.after}".strip()

    @property
    def after(self) -> str:
        return f"{self.site.before}{self.change.expression}{self.site.after}".strip()


@dataclass(frozen=True)
class Pool:
    """All mutants that there could be: of every room, of every module, by class."""

    rooms: dict[str, dict[str, dict[str, list[tuple[Site, Change]]]]]

    @property
    def size(self) -> int:
        return sum(len(found) for room in self.rooms.values() for one in room.values() for found in one.values())


def pool(text: str, top: str, rooms: dict[str, str], known: Collection[str] = ()) -> Pool:
    """Of all modules but the `known` ones; `rooms` says where a module's part is at home (see `room_of`)."""
    modules = parse(text)
    by_name = {module.name: module for module in modules}
    found: dict[str, dict[str, dict[str, list[tuple[Site, Change]]]]] = defaultdict(dict)
    for site in mutable(modules, top):
        if site.module in known:
            continue
        classes = found[room_of(site.module, rooms)].setdefault(stem(site.module), defaultdict(list))
        for change in changes(site, by_name[site.module]):
            classes[change.kind].append((site, change))
    return Pool({room: found[room] for room in sorted(found)})


def stem(module: str) -> str:
    """Modules that differ in their number only are one to choose from, and so are queues of Amaranth's library."""
    return "queue" if "." in module else re.sub(r"_\d+$", "", module)


def room_of(module: str, rooms: dict[str, str]) -> str:
    """The folder of hwgen in which a module is described; a queue is where it stands."""
    return rooms.get(stem(module.lstrip("\\").split(".")[0]), "top")


def choose(pool: Pool, count: int, rng: Random, first: int = 1) -> list[Mutant]:
    """So many mutants, numbered from `first`: rooms in turn, in each the module with the fewest so far, there a class
    at random and then one of its mutants. Fewer if there are no more."""
    left = {room: {name: {k: list(v) for k, v in one.items()} for name, one in pool.rooms[room].items()}
            for room in pool.rooms}  # fmt: skip
    picks: Counter[str] = Counter()
    chosen: list[Mutant] = []
    while len(chosen) < count and any(left.values()):
        for room in [room for room in left if left[room]]:
            if len(chosen) == count:
                break
            modules = left[room]
            module = min(sorted(modules), key=lambda name: (picks[name], rng.random()))
            kind = rng.choice(sorted(modules[module]))
            site, change = modules[module][kind].pop(rng.randrange(len(modules[module][kind])))
            picks[module] += 1
            chosen.append(Mutant(first + len(chosen), room, site, change))
            if not modules[module][kind]:
                del modules[module][kind]
            if not modules[module]:
                del modules[module]
    return chosen


def with_mutants(text: str, mutants: Sequence[Mutant]) -> str:
    """The text with all mutants asleep in it."""
    lines = text.splitlines()
    by_line: dict[int, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_line[mutant.site.line].append(mutant)
    for line, here in by_line.items():
        site = here[0].site
        choice = "".join(f"mutation::number == {m.number} ? {m.change.expression} : " for m in here)
        lines[line] = f"{site.before}({choice}{site.expression}){site.after}"
    return SELECTOR + "\n".join(lines) + "\n"


def mutated(text: str, mutant: Mutant) -> str:
    """The text with this mutant awake and nothing else changed."""
    lines = text.splitlines()
    site = mutant.site
    lines[site.line] = f"{site.before}{mutant.change.expression}{site.after}"
    return "\n".join(lines) + "\n"
