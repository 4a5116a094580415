"""Attention on a board: what `hwgen.attention` takes and gives, computed behind a cable."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

from boards.host.bus import BoardError, Bus
from boards.host.driver import Accelerator, identify
from boards.host.link import Link
from hwgen.backends import Answer, Task, machine_answer, place_task
from hwgen.config import Config
from hwgen.control.descriptor import FORMAT_CODES
from hwgen.functional import attention
from hwgen.presets import PRESETS
from hwgen.presets import preset as named_preset
from hwgen.problem import FloatArray


class Device:
    """A `hwgen.backends.Device` behind any bus.

    preset: the machine that is on it; found among the presets, with any number formats, if not given
    """

    def __init__(self, bus: Bus, preset: str | Config | None = None) -> None:
        self.bus = bus
        self._given = named_preset(preset) if isinstance(preset, str) else preset

    @property
    def config(self) -> Config:
        """The machine on the board. Raises BoardError if it is none of the presets and was not given."""
        if self._given is None:
            found = f"{identify(self.bus):016x}"
            self._given = next((config for config in known_machines() if config.hash() == found), None)
            if self._given is None:
                names = ", ".join(PRESETS)
                raise BoardError(
                    f"the machine on the board, CONFIG_HASH {found}, is none of the presets {names}; say which one it "
                    "is by `preset`"
                )
        return self._given

    def run(self, task: Task, lse: bool) -> Answer:
        """Raises BoardError, LinkError, or InputError for a problem that does not fit the memory."""
        image, placed = place_task(task, lse, self.bus.memory_base)
        run = Accelerator(self.bus, task.params).run(image, placed)
        facts = {"saturated": run.saturated, "poisoned": run.poisoned, "seconds": run.seconds}
        return machine_answer(task, run.outputs, run.counters, facts)

    def attention(self, q: FloatArray, k: FloatArray, v: FloatArray, **options: Any) -> Any:
        """`hwgen.attention` on this board, with all its arguments but `backend`."""
        return attention(q, k, v, backend=self, **options)


class Board(Device):
    """A board behind a serial port, until the end of `with` or `close`. Options are those of `Link`.

    Raises LinkError if no board answers there.
    """

    def __init__(self, port: str, preset: str | Config | None = None, **options: Any) -> None:
        self.link = Link(port, **options)
        super().__init__(self.link, preset)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.link.close()


def known_machines() -> Iterator[Config]:
    """All presets with all number formats, which `hwgen.attention` takes from its inputs."""
    for entry in PRESETS.values():
        yield entry.config
        for name in FORMAT_CODES:
            yield entry.config.replace({"in_format": name, "out_format": name})
