// The least that can drive the testbench: a clock, a reset, no simulator interface. What is left is the model itself.

#include <cstdio>
#include <ctime>

#include "Vtop.h"
#include "verilated.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vtop top{&context};
    unsigned long cycles = 0;
    const unsigned long reset = 4, limit = 1000000000;
    const std::clock_t start = std::clock();
    top.rst = 1;
    while ((cycles < reset + 1 || !top.done) && cycles < limit) {
        if (cycles == reset) top.rst = 0;
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        ++cycles;
    }
    const double spent = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%lu %.6f\n", cycles, spent);
    top.final();
    return cycles < limit ? 0 : 1;
}
