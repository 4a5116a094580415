"""A score program as a pipeline."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.scoremod.program import Format, Program
from hwgen.part import Part, place
from hwgen.scoremod.functions import Power, Tanh
from hwgen.scoremod.layout import ARGUMENT_ADDRESS_BITS, argument_layout, inputs_layout, outputs_layout, shape
from hwgen.scoremod.schedule import LIMB, limbs, product_levels, schedule


class Datapath(Part):
    """`outputs = evaluate(program, inputs, arguments)`.

    Every input is taken at its arrival, in cycles after a set's time 0; all outputs are there `latency` cycles after
    time 0, in registers. Throughput 1 set a cycle. What stands still needs no registers beside the data: arguments must
    have been written `schedule.settling` cycles before time 0 of the first set that they are for.

    arrivals: (input, cycle), 0 for those not named;  places: (argument, number of its first word), by default where the
    program has it
    """

    def __init__(
        self,
        program: Program,
        arrivals: tuple[tuple[str, int], ...] = (),
        places: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self.schedule = schedule(program, arrivals)
        self.latency = self.schedule.latency
        self._program = program
        self._graph = self.schedule.graph
        self._places = {a.name: program.argument_offset(a.name) for a in program.arguments} | dict(places)
        super().__init__(
            {
                "inputs": In(inputs_layout(program)),
                "outputs": Out(outputs_layout(program)),
                "argument": In(argument_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._memories = {}
        self._values = {}
        for i, node in enumerate(self._program.nodes):
            if not self._graph.is_wiring(i):
                self._values[i, 0] = self._node(m, i, node)
        for name, i in self._program.outputs:
            m.d.comb += self.outputs[name].eq(self._value(m, i, self.latency))
        return m

    def _signal(self, i: int, suffix: str = "", width: Shape | None = None) -> Signal:
        node = self._program.nodes[i]
        return Signal(width or shape(node.format), name=f"node_{i}_{node.op}{suffix}", reset_less=True)

    def _value(self, m: Module, i: int, at: int):
        """The value of a node in cycle `at` of a set."""
        delay = 0 if self._graph.static[i] else at - self.schedule.valid[i]
        if (i, delay) not in self._values:
            later = self._signal(i, f"_{delay}" if delay else "")
            if self._graph.is_wiring(i):
                m.d.comb += later.eq(self._wires(i, self._value(m, self._graph.source(i), at)))
            else:
                m.d.sync += later.eq(self._value(m, i, at - 1))
            self._values[i, delay] = later
        return self._values[i, delay]

    def _wires(self, i: int, value):
        node, moved = self._program.nodes[i], self._graph.shift(i)
        if moved:
            return value.shift_left(moved[1])
        if node.op == "low":
            return value
        return value.shift_left(node.number) if node.op == "left" else value >> node.number

    def _node(self, m: Module, i: int, node):
        """A node's value when it is valid."""
        begin = self.schedule.start[i]
        if node.op == "constant":
            return Const(node.number, shape(node.format))
        if node.op == "input":
            return self.inputs[node.name]
        if node.op == "parameter":
            return self._parameter(m, i, node)
        operands = [self._value(m, a, begin) for a in node.args]
        if node.op == "multiply":
            return self._multiply(m, i, node, *operands)
        result = self._signal(i)
        if node.op in ("table", "tanh", "exp2"):
            m.d.comb += result.eq(getattr(self, f"_{node.op}")(m, i, node, *operands))
            return result
        value = self._operation(node, *operands)
        # A gate of arguments alone can have a register: it stands still.
        if self._graph.is_gate(i) and not self._graph.static[i]:
            m.d.comb += result.eq(value)
        else:
            m.d.sync += result.eq(value)
        return result

    def _operation(self, node, a, b=None, c=None):
        """The result of an operation of one cycle, or of a gate."""
        match node.op:
            case "add":
                return a + b
            case "subtract":
                return a - b
            case "negate":
                return -a
            case "absolute":
                return Mux(a < 0, -a, a)
            case "minimum":
                return Mux(a < b, a, b)
            case "maximum":
                return Mux(a < b, b, a)
            case "round":
                return (a + (1 << (node.number - 1))) >> node.number
            case "clamp":
                return Mux(a < node.format.low, node.format.low, Mux(a > node.format.high, node.format.high, a))
            case "less":
                return a < b
            case "less_equal":
                return a <= b
            case "equal":
                return a == b
            case "and":
                return a & b
            case "or":
                return a | b
            case "xor":
                return a ^ b
            case "not":
                return ~a
            case "select":
                return Mux(a, b, c)
        raise ValueError(f"unknown operation {node.op!r}")

    def _multiply(self, m: Module, i: int, node, a, b):
        """Products of limbs, then their sums two by two."""
        formats = [self._graph.format(j) for j in node.args]

        def limb(value, format: Format, at: int):
            if at == limbs(format)[-1]:
                return value >> at
            return value[at : at + LIMB]

        terms = [
            (limb(a, formats[0], x) * limb(b, formats[1], y)).shift_left(x + y)
            for x, y in self._graph.partial_products(i)
        ]
        levels = product_levels(self._graph, i)
        for depth, level in enumerate(levels):
            registers = []
            for k, format in enumerate(level):
                is_last = depth == len(levels) - 1
                registers.append(self._signal(i, "" if is_last else f"_sum_{depth}_{k}", shape(format)))
                pair = terms[2 * k : 2 * k + 2] if depth else terms[k : k + 1]
                m.d.sync += registers[-1].eq(sum(pair[1:], pair[0]))
            terms = registers
        return terms[0]

    def _parameter(self, m: Module, i: int, node):
        value = self._signal(i)
        write = self.argument.valid & (self.argument.address == self._places[node.name])
        with m.If(write):
            m.d.sync += value.eq(self.argument.data)
        return value

    def _table(self, m: Module, i: int, node, index):
        """The entry at the index, which is clamped a cycle before if it has to be."""
        size = self._program.argument(node.name).size
        read = self._memory(m, node).read_port()
        if self._graph.clamps_index(i):
            inside = self._signal(i, "_index", unsigned(max((size - 1).bit_length(), 1)))
            m.d.sync += inside.eq(Mux(index < 0, 0, Mux(index > size - 1, size - 1, index)))
            index = inside
        m.d.comb += [read.addr.eq(index), read.en.eq(1)]
        return read.data

    def _memory(self, m: Module, node) -> Memory:
        """The table of a node, written as its words come."""
        if node.name not in self._memories:
            size, place = self._program.argument(node.name).size, self._places[node.name]
            # A memory of one word would have an address of no bits.
            memory = Memory(shape=shape(node.format), depth=max(size, 2), init=[])
            m.submodules[f"table_{len(self._memories)}"] = memory
            write = memory.write_port()
            address = Signal(ARGUMENT_ADDRESS_BITS + 1, name=f"table_{len(self._memories)}_address")
            m.d.comb += [
                address.eq(self.argument.address - place),
                write.en.eq(self.argument.valid & (address < size)),
                write.addr.eq(address),
                write.data.eq(self.argument.data),
            ]
            self._memories[node.name] = memory
        return self._memories[node.name]

    def _tanh(self, m: Module, i: int, node, x):
        unit = Tanh(len(x), self._graph.format(node.args[0]).signed)
        place(m, f"node_{i}_tanh", unit)
        m.d.comb += unit.x.eq(x)
        return unit.y

    def _exp2(self, m: Module, i: int, node, x):
        unit = Power(self._graph.format(node.args[0]), node.format.frac)
        place(m, f"node_{i}_exp2", unit)
        m.d.comb += unit.x.eq(x)
        return unit.y
