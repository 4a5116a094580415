"""Rows as the block converters give them."""

from typing import Any

import numpy as np

from hwgen.params import Params

Row = dict[str, Any]


def random_rows(seed: int, params: Params, dimension: int, count: int) -> list[Row]:
    """Rows with any elements, exponent and poison."""
    rng = np.random.default_rng(seed)
    most = 2 ** (params.config.operand_bits - 1) - 1
    return [
        {
            "elements": rng.integers(-most, most + 1, dimension).tolist(),
            "exponent": int(rng.integers(1, 1 << params.input.exponent_bits)),
            "poisoned": int(rng.integers(2)),
        }
        for _ in range(count)
    ]


def beats(rows: list[Row], params: Params) -> list[Row]:
    """Rows cut into beats."""
    width = params.config.beat
    return [
        {**row, "elements": row["elements"][i : i + width], "last": int(i + width == len(row["elements"]))}
        for row in rows
        for i in range(0, len(row["elements"]), width)
    ]
