"""`hwgen.attention(..., backend="board:PORT")`: an entry point of hwgen's."""

from __future__ import annotations

from boards.host.board import Board
from boards.host.link import BAUD
from hwgen.errors import InputError


def backend(argument: str) -> Board:
    """The board behind `PORT` or `PORT@BAUD`. Raises InputError for a speed that is none, or what `Board` raises."""
    port, at, speed = argument.rpartition("@")
    if not at:
        return Board(argument)
    if not speed.isdecimal() or int(speed) == 0:
        raise InputError(f"expected board:PORT or board:PORT@BAUD, not 'board:{argument}'; by default {BAUD} baud")
    return Board(port, baud=int(speed))
