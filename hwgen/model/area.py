"""Area of a machine: how many of everything there are times the area of one. docs/energy.md tells how sure it is."""

from __future__ import annotations

from collections.abc import Mapping

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.model.actions import Parts, Store, published_parts
from hwgen.model.costs import Table
from hwgen.model.hardware import machine_parts, store, units
from hwgen.model.memories import banks
from hwgen.params import Params

MM2 = 1e-6
"""mm2 of an um2."""


def area(instances: Mapping[tuple[str, str], float], table: Table, parts: Parts) -> dict[str, float]:
    """mm2 by component.

    instances: how many units there are of the operation behind (component, action); behind (component, "store") how
               many memories: {("array_2d", "mac"): 65536, ("rf_2d", "store"): 65536, ("buffer", "store"): 1}

    Raises ConfigError for what is not in `parts`, and for what the table gives no area of.
    """
    total: dict[str, float] = {}
    for (component, action), count in instances.items():
        part = parts.get(component)
        if part is None:
            raise ConfigError(f"unknown component {component!r}{did_you_mean(component, parts)}")
        if isinstance(part, Store):
            if action != "store":
                raise ConfigError(f"of the memory {component} 'store' has an area, not {action!r}")
            one = table.storage(part).value
        elif action in part:
            one = table.operation(part[action], "area_um2").value
        else:
            raise ConfigError(f"{component} has no action {action!r}{did_you_mean(action, part)}")
        total[component] = total.get(component, 0.0) + count * one * MM2
    return total


def published_area(
    cells: int, columns: int, buffer_bytes: int, table: Table, *, max_in_cells: bool, exp_unit: bool
) -> dict[str, float]:
    """mm2 of a machine like FuseMax's and FLAT's: `cells` of a 2-D array with a mac and a register file each, `columns`
    of a 1-D array with mac, max, divider and a register file, a global buffer.

    max_in_cells: the 2-D array compares too (FuseMax);  exp_unit: the 1-D array has an exponential unit (FLAT)
    """
    count: dict[tuple[str, str], float] = {("array_2d", "mac"): cells, ("rf_2d", "store"): cells}
    if max_in_cells:
        count["array_2d", "max"] = cells
    count |= {("array_1d", action): columns for action in ("mac", "max", "divide")} | {("rf_1d", "store"): columns}
    if exp_unit:
        count["array_1d", "exp"] = columns
    return area(count | {("buffer", "store"): 1}, table, published_parts(buffer_bytes))


def machine_area(params: Params, table: Table) -> dict[str, float]:
    """mm2 by component of our machine; what a score program adds is not counted. Takes about a millisecond.

    Raises ConfigError if the table gives no area.
    """
    parts = machine_parts(params)
    total = area(units(params), table, parts)
    for bank in banks(params):
        name = f"{bank.component}_memory" if not isinstance(parts[bank.component], Store) else bank.component
        one = table.storage(store(bank.bits, bank.width)).value
        total[name] = total.get(name, 0.0) + bank.count * one * MM2
    exp_table = parts["exp_table"]
    assert isinstance(exp_table, Store)
    return total | {"exp_table": params.lanes * table.storage(exp_table).value * MM2}
