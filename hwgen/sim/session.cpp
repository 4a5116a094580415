// The system under somebody else's command: a clock without a simulator interface, told line by line what to do.
//
// A line in, a line out:
//   w ADDRESS DATA STROBE   write a register      -> DATA RESPONSE state     (numbers in hexadecimal; RESPONSE is 4 if no
//   r ADDRESS               read a register       -> DATA RESPONSE state      answer came within 10,000 cycles)
//   x CYCLES                hold reset so long    -> 0 0 state
//   s CYCLES                let time pass         -> 0 0 state
//   i CYCLES                until the interrupt is high, a rule is broken, or so long -> 0 0 state
//   d                       write the memory to its file -> 0 0 state
//   l                       look                  -> rules and traffic, see below
// where state is: a rule is broken, the interrupt, the cycle since reset.

#include <cstdio>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr unsigned long ACCESS_CYCLES = 10000, NO_ANSWER = 4;

VerilatedContext context;
Vtop* top;

void tick() {
    top->clk = 1;
    top->eval();
    top->clk = 0;
    top->eval();
}

// Verilator gives the port `interrupt` another name: the word is taken in some dialects of C.
void answer(unsigned long data, unsigned long response) {
    std::printf("%lx %lx %x %x %x\n", data, response, top->violated != 0, top->__SYM__interrupt, top->cycle);
}

void access(bool write, unsigned address, unsigned data, unsigned strobe) {
    top->host_write = write;
    top->host_address = address;
    top->host_data = data;
    top->host_strobe = strobe;
    top->host_go = !top->host_go;
    unsigned long waited = 0;
    while (top->host_done != top->host_go && waited++ < ACCESS_CYCLES) tick();
    const bool answered = top->host_done == top->host_go;
    answer(top->host_answer, answered ? top->host_response : NO_ANSWER);
}

void reset(unsigned long cycles) {
    top->rst = 1;
    for (unsigned long i = 0; i < cycles; ++i) tick();
    top->rst = 0;
    for (int i = 0; i < 3; ++i) tick();
}

void look() {
    std::printf("%x %x %x %x %x %x %x %x %x %x %x\n", top->violated, top->memory_rule, top->memory_since,
                top->lite_rule, top->lite_since, top->open_reads, top->open_writes, top->read_bursts, top->read_beats,
                top->write_bursts, top->write_beats);
}

}  // namespace

int main(int argc, char** argv) {
    context.commandArgs(argc, argv);
    Vtop model{&context};
    top = &model;
    char line[128];
    while (std::fgets(line, sizeof line, stdin)) {
        unsigned a = 0, b = 0, c = 0;
        std::sscanf(line + 1, "%x %x %x", &a, &b, &c);
        switch (line[0]) {
            case 'w': access(true, a, b, c); break;
            case 'r': access(false, a, 0, 15); break;
            case 'x': reset(a); answer(0, 0); break;
            case 's':
                while (a-- > 0) tick();
                answer(0, 0);
                break;
            case 'i':
                while (a-- > 0 && !top->__SYM__interrupt && !top->violated) tick();
                answer(0, 0);
                break;
            case 'd':
                top->dump = 1;
                for (int i = 0; i < 5; ++i) tick();
                answer(0, 0);
                break;
            case 'l': look(); break;
            default: return 1;
        }
        std::fflush(stdout);
    }
    model.final();
    return 0;
}
