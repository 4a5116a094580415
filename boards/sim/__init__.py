"""A board in simulation, behind a pseudo terminal instead of a cable."""

from boards.sim.board import Faults, SimulatedBoard

__all__ = ["Faults", "SimulatedBoard"]
