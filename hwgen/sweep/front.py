"""Which points no other beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pareto_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Indices, in order, of the rows that no other row dominates.

    A row dominates another if it is nowhere larger and somewhere smaller; of equal rows all stay. costs: (points,
    objectives), the less the better.
    """
    table = np.asarray(costs, dtype=np.float64)
    if table.size == 0:
        return []
    # Whoever dominates a row stands before it in this order, and someone on the front dominates it too.
    front: list[int] = []
    kept: npt.NDArray[np.float64] = np.empty((0, table.shape[1]))
    for index in np.lexsort(table.T[::-1]):
        row = table[index]
        better = (kept <= row).all(axis=1) & (kept < row).any(axis=1)
        if not better.any():
            front.append(int(index))
            kept = np.vstack([kept, row])
    return sorted(front)
