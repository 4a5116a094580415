"""Says what is going on while a step takes its time."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds a step may take before it is announced."""


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce `text` on stderr if what happens inside lasts longer than PATIENCE, and then how long it took.

    Only stderr is used, so that a program can read what a command prints.
    """
    stream = sys.stderr
    announced = threading.Event()

    def announce() -> None:
        announced.set()
        print(f"{text} ...", file=stream, flush=True)

    start = time.perf_counter()
    timer = threading.Timer(PATIENCE, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    if announced.is_set():
        print(f"{text}: {time.perf_counter() - start:.1f} s", file=stream, flush=True)
