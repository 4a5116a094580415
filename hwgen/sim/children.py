"""Programs that hwgen starts, and what becomes of them if it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def descendants(process: int) -> list[int]:
    """Processes that a process has started, those that these have started, and so on; none where there is no /proc."""
    found = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """While the block runs, a signal to stop ends whatever this process has started before KeyboardInterrupt is raised.

    A compiler that make has started, and a simulator, would go on otherwise if only this process is told. Nothing
    changes outside of the main thread, which alone gets signals, or where they are ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for child in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
