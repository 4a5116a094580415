"""Payloads of the AXI4 channels and of the streams between them and the tensors."""

from enum import IntEnum

from amaranth.hdl import unsigned
from amaranth.lib import data

from hwgen.control.faults import FAULT_BITS
from hwgen.params import Params

BYTE_COUNT_BITS = 32


class Response(IntEnum):
    """AXI response codes."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def burst_layout(params: Params) -> data.StructLayout:
    """AR and AW: address of the first word, a multiple of the bus width, and beats minus one."""
    return data.StructLayout({"address": unsigned(params.config.address_bits), "length": unsigned(8)})


def read_layout(params: Params) -> data.StructLayout:
    """R."""
    return data.StructLayout({"data": unsigned(params.config.bus_bits), "response": unsigned(2), "last": unsigned(1)})


def word_layout(params: Params) -> data.StructLayout:
    """A bus word to be written and which of its bytes count."""
    return data.StructLayout({"data": unsigned(params.config.bus_bits), "strobe": unsigned(params.bus_bytes)})


def write_layout(params: Params) -> data.StructLayout:
    """W."""
    return data.StructLayout(
        {"data": unsigned(params.config.bus_bits), "strobe": unsigned(params.bus_bytes), "last": unsigned(1)}
    )


def request_layout(params: Params) -> data.StructLayout:
    """`bytes` (at least 1) contiguous bytes from `address` on, both of any alignment."""
    return data.StructLayout({"address": unsigned(params.config.address_bits), "bytes": unsigned(BYTE_COUNT_BITS)})


def fault_layout(params: Params) -> data.StructLayout:
    """A pulse: what went wrong (`control.faults.Fault`) and at which address."""
    return data.StructLayout(
        {"valid": unsigned(1), "code": unsigned(FAULT_BITS), "address": unsigned(params.config.address_bits)}
    )
