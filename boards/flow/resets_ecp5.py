"""Leads the resets of an ECP5 through its clock network, which place and route by itself uses for clocks only.

A reset of some hundred flip-flops takes longer than any logic, and its wires are in the way of all others. A DCCA
behind its register puts it on one of sixteen networks that reach every flip-flop. Logic that looks at a reset stays
with the register's own wire: no quick way leads from the clock network into a LUT.

Place and route counts no time for the network, which has some 2 ns. A reset lasts many cycles and nothing is under way
when it ends: it does not matter in which cycle a flip-flop sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

from boards.flow.netlist import Bit, Module, Netlist, Pin, new_cell, new_net

RESET = "LSR"
"""The port of a flip-flop that the clock network reaches."""

WIDE = 250
"""Flip-flops that make a net worth one of the networks: a dozen nets of the largest machine have more."""

RELAY = "reset_relay"
"""The module of `hwgen.pipeline.ResetRelay`, the registers of a part's reset."""


def share(netlist: Netlist) -> int:
    """Make one of all relays of a module that delay the same reset, in place; gives how many went.

    The flip-flops of a tile have two resets between them. With a relay for each part, a device that is nearly full
    has no place for some of them.
    """
    gone = 0
    for module in netlist.modules.values():
        kept: dict[tuple[Bit, ...], Bit] = {}
        instead: dict[Bit, Bit] = {}
        for name, cell in list(module.cells.items()):
            if cell["type"] == RELAY:
                pins = cell["connections"]
                key, after = (pins["before"][0], pins["rst"][0]), pins["after"][0]
                if kept.setdefault(key, after) != after:
                    instead[after] = kept[key]
                    del module.cells[name]
        for cell in module.cells.values():
            for port, bits in cell["connections"].items():
                cell["connections"][port] = [instead.get(bit, bit) for bit in bits]
        gone += len(instead)
    return gone


def spread(netlist: Netlist, top: str) -> dict[str, int]:
    """Put every net that resets at least WIDE flip-flops onto a network of its own, in place; gives how many flip-flops
    by the name of the cell that drives it.

    On their way down modules get one more port. Only nets of modules that stand once in the design are looked at.
    """
    # What each module's nets lead to is asked for anew: other passes have changed them.
    return _Resets(Netlist(netlist.content)).spread(top)


class _Resets:
    """The work on one netlist."""

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist
        self._counts: dict[tuple[str, int], int] = {}
        self._added: dict[tuple[str, str, int], str] = {}

    def spread(self, top: str) -> dict[str, int]:
        found: dict[str, int] = {}
        kinds = [kind for _, kind in self._netlist.instances(top)]
        for names, kind in list(self._netlist.instances(top)):
            module = self._netlist.modules[kind]
            if kinds.count(kind) > 1:
                continue
            for net, pin in list(module.drivers.items()):
                if (count := self._count(module, net)) >= WIDE:
                    found[".".join((*names, pin.cell))] = count
                    self._insert(module, net)
        self._connect_others()
        return found

    def _users(self, module: Module, net: int) -> Iterator[tuple[Pin, Module | None, int]]:
        """What a net resets: pins of flip-flops, and pins of parts with the module and its net that has flip-flops."""
        for pin in module.users.get(net, []):
            kind = module.cells[pin.cell]["type"] if pin.cell else ""
            if self._netlist.is_part(kind):
                inner = self._netlist.modules[kind]
                below = inner.content["ports"][pin.port]["bits"][pin.at]
                if self._count(inner, below):
                    yield pin, inner, below
            elif kind == "TRELLIS_FF" and pin.port == RESET:
                yield pin, None, 0

    def _count(self, module: Module, net: int) -> int:
        """Flip-flops that a net resets, in the module and below it."""
        key = module.name, net
        if key not in self._counts:
            users = self._users(module, net)
            self._counts[key] = sum(1 if inner is None else self._count(inner, below) for _, inner, below in users)
        return self._counts[key]

    def _insert(self, module: Module, net: int) -> None:
        out = new_net(module)
        pins: dict[str, list[Bit]] = {"CLKI": [net], "CE": ["1"], "CLKO": [out]}
        module.cells[f"{RESET}_{net}_network"] = new_cell("DCCA", {}, pins, "CLKO")
        self._move(module, net, out)

    def _move(self, module: Module, net: int, to: int) -> None:
        """Have the resets of one net driven by another."""
        for pin, inner, _ in self._users(module, net):
            cell = module.cells[pin.cell]
            port = RESET if inner is None else self._port(inner, pin.port, pin.at)
            cell["connections"][port] = [to]
            cell["port_directions"][port] = "input"

    def _port(self, module: Module, port: str, at: int) -> str:
        """The port of a module for the resets that one bit of another port has driven."""
        key = module.name, port, at
        if key not in self._added:
            self._added[key] = f"{port}_{at}_{RESET}"
            out = new_net(module)
            module.content["ports"][self._added[key]] = {"direction": "input", "bits": [out]}
            self._move(module, module.content["ports"][port]["bits"][at], out)
        return self._added[key]

    def _connect_others(self) -> None:
        """A module that stands elsewhere too has its new ports there as well: they get what the old ones have."""
        for module in self._netlist.modules.values():
            for cell in module.cells.values():
                for (kind, port, at), added in self._added.items():
                    if cell["type"] == kind and added not in cell["connections"]:
                        cell["connections"][added] = [cell["connections"][port][at]]
                        cell["port_directions"][added] = "input"
