// The least that can drive the testbench: a clock, a reset, no simulator interface. What is left is the model itself.

#include <chrono>
#include <cstdio>

#include "Vtop.h"
#include "verilated.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vtop top{&context};
    unsigned long cycles = 0;
    const unsigned long reset = 4, limit = 1000000000;
    const auto start = std::chrono::steady_clock::now();
    top.rst = 1;
    while ((cycles < reset + 1 || !top.done) && cycles < limit) {
        if (cycles == reset) top.rst = 0;
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        ++cycles;
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    std::printf("%lu %.6f\n", cycles, spent.count());
    top.final();
    return cycles < limit ? 0 : 1;
}
