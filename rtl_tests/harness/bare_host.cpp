// A host before the simulated accelerator without a simulator interface: it does what a script says and writes down all
// it reads, so that a run of a small machine takes a tenth of a second.
//
//   bare_host SCRIPT LOG [EXPECTED EXPECTED_MEMORY] +dir=PATH ...
//
// With EXPECTED, an earlier log, it stops at the first difference; at the end the memory is compared too. A line of the
// script is one of
//   reset N              hold reset for N cycles
//   write A D S          register at address A, data D, strobes S
//   read A               tell value and response
//   poll A M             read until the bits M of it are 0, tell what it was then
//   serve T              ring the doorbell for descriptor number T, then answer interrupts until the queue is at rest
//   interrupt            wait for the interrupt
//   pin                  tell the interrupt's level
//   go N                 let N cycles pass
//   traffic              tell bursts and beats the memory saw, and how many bursts are in flight
// Exit status: 0 as it was; 10 something differs, 11 it does not end, 12 a rule of AXI is broken or nothing moves any
// more, 13 the memory differs.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "Vtop.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

enum { DIFFERS = 10, ENDLESS, TROUBLE, MEMORY };
// Of the registers; docs/registers.md.
enum { INTERRUPT_STATUS = 0x00c, QUEUE_TAIL = 0x01c, QUEUE_HEAD = 0x020, STATUS = 0x024, ERROR_CODE = 0x028,
       ERROR_INDEX = 0x02c, ERROR_ADDRESS = 0x030, ERROR_COUNT = 0x038 };

// Verilator renames `interrupt`, a word of C++ libraries.

struct Stop { int status; };

class Host {
  public:
    Host(VerilatedContext& context, std::ostream& log, std::istream* expected, unsigned long limit)
        : top_{&context}, log_(log), expected_(expected), limit_(limit) {
        top_.host_go = 0; top_.dump = 0;
    }

    void step(const std::string& line) {
        std::istringstream words(line);
        std::string what;
        words >> what;
        unsigned a = 0, b = 0, c = 0;
        words >> a >> b >> c;
        if (what == "reset") { top_.rst = 1; go(a); top_.rst = 0; go(3); }
        else if (what == "write") write(a, b, c);
        else if (what == "read") read(a);
        else if (what == "poll") poll(a, b);
        else if (what == "serve") serve(a);
        else if (what == "interrupt") interrupt();
        else if (what == "pin") tell("pin", top_.__SYM__interrupt, 0);
        else if (what == "go") go(a);
        else if (what == "traffic") traffic();
        else { std::fprintf(stderr, "unknown: %s\n", line.c_str()); throw Stop{2}; }
    }

    void finish() {
        top_.dump = 1;
        go(5);
        top_.final();
    }

    unsigned long cycles() const { return cycles_; }

  private:
    void tick() {
        top_.clk = 1; top_.eval();
        top_.clk = 0; top_.eval();
        if (++cycles_ > limit_) throw Stop{ENDLESS};
    }
    void go(unsigned count) { while (count--) tick(); }

    void tell(const char* what, unsigned a, unsigned b) {
        char line[64];
        std::snprintf(line, sizeof line, "%s %u %u", what, a, b);
        log_ << line << '\n';
        std::string want;
        if (expected_ && (!std::getline(*expected_, want) || want != line)) throw Stop{DIFFERS};
    }

    void access(bool write, unsigned address, unsigned data, unsigned strobe) {
        top_.host_write = write; top_.host_address = address; top_.host_data = data; top_.host_strobe = strobe;
        top_.host_go = !top_.host_go;
        for (unsigned waited = 0; top_.host_done != top_.host_go; ++waited) {
            tick();
            if (top_.trouble) throw Stop{TROUBLE};
            if (waited > 10000) throw Stop{ENDLESS};
        }
    }
    unsigned read(unsigned address, bool loud = true) {
        access(false, address, 0, 15);
        char name[16];
        std::snprintf(name, sizeof name, "%03x", address);
        if (loud) tell(name, top_.host_answer, top_.host_response);
        return top_.host_answer;
    }
    void write(unsigned address, unsigned data, unsigned strobe = 15) {
        access(true, address, data, strobe);
        tell("write", address, top_.host_response);
    }
    void poll(unsigned address, unsigned mask) {
        while (read(address, false) & mask) {}
        read(address);
    }
    void interrupt() {
        while (!top_.__SYM__interrupt) {
            tick();
            if (top_.trouble) throw Stop{TROUBLE};
        }
    }
    void serve(unsigned tail) {
        write(QUEUE_TAIL, tail);
        for (bool failed = false;;) {
            interrupt();
            const unsigned events = read(INTERRUPT_STATUS);
            if (events & 2) {
                failed = true;
                read(ERROR_CODE); read(ERROR_INDEX); read(ERROR_ADDRESS); read(ERROR_ADDRESS + 4);
            }
            write(INTERRUPT_STATUS, events);
            if (events & 1 && (read(QUEUE_HEAD) == tail || failed)) break;
        }
        poll(STATUS, 0x11);
        read(ERROR_COUNT);
    }
    void traffic() {
        tell("read", top_.read_bursts, top_.read_beats);
        tell("written", top_.write_bursts, top_.write_beats);
        tell("open", top_.open_reads, top_.open_writes);
    }

    Vtop top_;
    std::ostream& log_;
    std::istream* expected_;
    unsigned long limit_, cycles_ = 0;
};

static std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    const bool compare = argc > 4 && argv[3][0] != '+';
    std::ifstream script(argv[1]), expected(compare ? argv[3] : "");
    std::ofstream log(argv[2]);
    unsigned long limit = 100000000;
    std::string folder, text;
    for (int i = 3; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.rfind("+limit=", 0) == 0) limit = std::strtoul(argv[i] + 7, nullptr, 10);
        if (word.rfind("+dir=", 0) == 0) folder = word.substr(5);
    }
    Host host(context, log, compare ? &expected : nullptr, limit);
    int status = 0;
    try {
        while (std::getline(script, text)) host.step(text);
        host.finish();
        if (compare && content(folder + "/after.hex") != content(argv[4])) status = MEMORY;
    } catch (const Stop& stop) {
        status = stop.status;
    }
    std::printf("%lu\n", host.cycles());
#if VM_COVERAGE
    context.coveragep()->write((folder + "/coverage.dat").c_str());
#endif
    return status;
}
