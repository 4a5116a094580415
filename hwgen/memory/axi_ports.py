"""AXI ports under the names that ARM gave them."""

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import ceil_log2

from hwgen.control.register_map import ADDRESS_BITS, WORD_BITS, WORD_BYTES
from hwgen.params import Params

MASTER, SLAVE = "m_axi", "s_axi"
ID_BITS = 1
INCR = 1
MODIFIABLE_BUFFERABLE = 0b0011


def master_ports(params: Params) -> dict[str, Member]:
    """An AXI4 master; one ID, so that answers come in order."""
    ports: dict[str, Member] = {}
    for channel in ("aw", "ar"):
        widths = {"id": ID_BITS, "addr": params.config.address_bits, "len": 8, "size": 3, "burst": 2}
        widths |= {"lock": 1, "cache": 4, "prot": 3, "qos": 4}
        ports |= {f"{channel}{name}": Out(width) for name, width in widths.items()}
        ports |= {f"{channel}valid": Out(1), f"{channel}ready": In(1)}
    ports |= {"wdata": Out(params.config.bus_bits), "wstrb": Out(params.bus_bytes), "wlast": Out(1)}
    ports |= {"wvalid": Out(1), "wready": In(1)}
    ports |= {"bid": In(ID_BITS), "bresp": In(2), "bvalid": In(1), "bready": Out(1)}
    ports |= {"rid": In(ID_BITS), "rdata": In(params.config.bus_bits), "rresp": In(2), "rlast": In(1)}
    ports |= {"rvalid": In(1), "rready": Out(1)}
    return {f"{MASTER}_{name}": member for name, member in ports.items()}


def slave_ports() -> dict[str, Member]:
    """An AXI4-Lite slave."""
    ports: dict[str, Member] = {}
    for channel in ("aw", "ar"):
        ports |= {f"{channel}addr": In(ADDRESS_BITS), f"{channel}prot": In(3)}
        ports |= {f"{channel}valid": In(1), f"{channel}ready": Out(1)}
    ports |= {"wdata": In(WORD_BITS), "wstrb": In(WORD_BYTES), "wvalid": In(1), "wready": Out(1)}
    ports |= {"bresp": Out(2), "bvalid": Out(1), "bready": In(1)}
    ports |= {"rdata": Out(WORD_BITS), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)}
    return {f"{SLAVE}_{name}": member for name, member in ports.items()}


def connect_channel(m: Module, top, prefix: str, channel: str, stream, payload, outward: bool) -> None:
    """Join a stream to a channel; `payload` pairs the channel's signals with the stream's."""
    valid, ready = (getattr(top, f"{prefix}_{channel}{name}") for name in ("valid", "ready"))
    if outward:
        m.d.comb += [valid.eq(stream.valid), stream.ready.eq(ready)]
    else:
        m.d.comb += [stream.valid.eq(valid), ready.eq(stream.ready)]
    for name, signal in payload.items():
        port = getattr(top, f"{prefix}_{channel}{name}")
        m.d.comb += port.eq(signal) if outward else signal.eq(port)


def connect_master(m: Module, top, params: Params, reads, writes) -> None:
    """Join the engines' streams to the master's channels."""
    for channel, stream in (("ar", reads.ar), ("aw", writes.aw)):
        burst = {"addr": stream.payload.address, "len": stream.payload.length}
        connect_channel(m, top, MASTER, channel, stream, burst, outward=True)
        m.d.comb += [
            getattr(top, f"{MASTER}_{channel}size").eq(ceil_log2(params.bus_bytes)),
            getattr(top, f"{MASTER}_{channel}burst").eq(INCR),
            getattr(top, f"{MASTER}_{channel}cache").eq(MODIFIABLE_BUFFERABLE),
        ]
    data = writes.w.payload
    word = {"data": data.data, "strb": data.strobe, "last": data.last}
    connect_channel(m, top, MASTER, "w", writes.w, word, outward=True)
    connect_channel(m, top, MASTER, "b", writes.b, {"resp": writes.b.payload.response}, outward=False)
    data = reads.r.payload
    word = {"data": data.data, "resp": data.response, "last": data.last}
    connect_channel(m, top, MASTER, "r", reads.r, word, outward=False)


def connect_slave(m: Module, top, registers) -> None:
    """Join the slave's channels to the register file's streams."""
    for channel in ("aw", "ar"):
        stream = getattr(registers, channel)
        connect_channel(m, top, SLAVE, channel, stream, {"addr": stream.payload.address}, outward=False)
    word = {"data": registers.w.payload.data, "strb": registers.w.payload.strobe}
    connect_channel(m, top, SLAVE, "w", registers.w, word, outward=False)
    connect_channel(m, top, SLAVE, "b", registers.b, {"resp": registers.b.payload.response}, outward=True)
    word = {"data": registers.r.payload.data, "resp": registers.r.payload.response}
    connect_channel(m, top, SLAVE, "r", registers.r, word, outward=True)

