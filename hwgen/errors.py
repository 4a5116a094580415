"""What hwgen raises on purpose: one base class, and the exit status a shell sees for each kind."""


class HwgenError(Exception):
    """Base of every error a user can act on; the command line prints its text without a traceback."""

    exit_status = 2


class ConfigError(HwgenError):
    """A configuration names something unknown or asks for a machine that cannot be built."""


class InputError(HwgenError):
    """Data handed in has a shape, type or value the accelerator does not take."""


class MissingTool(HwgenError):
    """A program or package that the requested step needs is not installed."""


class SimulationError(HwgenError):
    """The simulation was built and run, and failed or disagreed with the golden model."""

    exit_status = 1


class ScoreError(HwgenError):
    """A score function does what hardware cannot be made of; the message names its file and line."""
