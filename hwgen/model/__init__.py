"""Models of the machine: its cycles, traffic and what follows from them, without a simulation."""
