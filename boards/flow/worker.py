"""The process that makes a bitstream, apart from the one that asked for it: `python -m boards.flow.worker FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from boards.catalogue import board_named
from boards.flow.build import FAILURE, JOB, LOG, locked, work
from boards.flow.family import families
from hwgen.errors import HwgenError


def main(folder: Path) -> int:
    """Do all steps of the job in a folder; what fails is told in a file there."""
    with locked(folder), open(folder / LOG, "a", buffering=1) as log:
        job = json.loads((folder / JOB).read_text())
        board = board_named(job["board"])
        try:
            work(folder, board, families()[board.family], job["seed"], lambda line: print(line, file=log))
        except HwgenError as error:
            (folder / FAILURE).write_text(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
