"""How the values of a score program look as signals."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from golden.scoremod.program import ARGUMENT_BITS, Format, Program

ARGUMENT_ADDRESS_BITS = 20
"""Width of an argument word's number."""


def shape(form: Format):
    """The shape of a signal that holds every integer of a format."""
    return signed(form.width) if form.signed else unsigned(form.width)


def inputs_layout(program: Program) -> data.StructLayout:
    """All inputs under their names."""
    return data.StructLayout({node.name: shape(node.format) for node in program.nodes if node.op == "input"})


def outputs_layout(program: Program) -> data.StructLayout:
    """All outputs under their names."""
    return data.StructLayout({name: shape(program.nodes[i].format) for name, i in program.outputs})


def argument_layout() -> data.StructLayout:
    """A write of one argument word: in this cycle if valid."""
    return data.StructLayout(
        {"valid": 1, "address": unsigned(ARGUMENT_ADDRESS_BITS), "data": signed(ARGUMENT_BITS)}
    )
