"""All boards, one folder each."""

from __future__ import annotations

from boards.board import Board
from boards.icepi_zero import BOARD as ICEPI_ZERO
from boards.tang_mega_138k import BOARD as TANG_MEGA_138K
from boards.ulx3s_85f import BOARD as ULX3S_85F
from hwgen.config import did_you_mean
from hwgen.errors import ConfigError

BOARDS = {board.name: board for board in (ULX3S_85F, ICEPI_ZERO, TANG_MEGA_138K)}


def board_named(name: str) -> Board:
    """The board called `name`. Raises ConfigError with the nearest name."""
    if name not in BOARDS:
        raise ConfigError(f"unknown board {name!r}{did_you_mean(name, BOARDS)}")
    return BOARDS[name]
