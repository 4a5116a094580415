// A board in simulation. Its serial line, bit by bit, is a pseudo terminal, whose name is the only line printed.
//
// Arguments, each as +name=value:
//   clocks               of a bit
//   seed                 of the faults below
//   drop, flip, twice, late   probability, each way, that a byte is lost, has a bit flipped, comes twice, comes late
// Sleeps while nothing moves on the line; ends when its input is closed, which happens when its parent ends.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <poll.h>
#include <random>
#include <string>
#include <termios.h>
#include <unistd.h>

#include "Vtop.h"
#include "verilated.h"

namespace {

const unsigned kReset = 16;       // cycles
const unsigned kPollEvery = 64;   // cycles between looks at the terminal
const unsigned kQuiet = 100000;   // cycles without a byte before it sleeps
const unsigned kLate = 4000;      // most cycles that a late byte waits
const int kPatience = 2000;       // milliseconds that a byte waits for a host that does not read

std::string argument(int argc, char** argv, const char* name, const char* otherwise) {
    const std::string prefix = std::string("+") + name + "=";
    for (int i = 1; i < argc; ++i)
        if (!std::strncmp(argv[i], prefix.c_str(), prefix.size())) return argv[i] + prefix.size();
    return otherwise;
}

struct Fate {
    std::mt19937_64 random;
    double drop, flip, twice, late;
    bool happens(double probability) {
        return probability > 0 && std::uniform_real_distribution<double>(0, 1)(random) < probability;
    }
    unsigned up_to(unsigned limit) { return static_cast<unsigned>(random() % limit); }
    // How often the byte comes, which may be changed.
    int befall(unsigned char& byte) {
        if (happens(drop)) return 0;
        if (happens(flip)) byte ^= static_cast<unsigned char>(1u << up_to(8));
        return happens(twice) ? 2 : 1;
    }
    unsigned delay() { return happens(late) ? up_to(kLate) : 0; }
};

int open_terminal() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return -1;
    // Held open, so that the terminal stays while hosts come and go.
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    termios mode;
    if (slave < 0 || tcgetattr(slave, &mode)) return -1;
    cfmakeraw(&mode);
    tcsetattr(slave, TCSANOW, &mode);
    fcntl(master, F_SETFL, O_NONBLOCK);
    return master;
}

class Line {
  public:
    Line(int terminal, unsigned clocks, Fate fate) : terminal_(terminal), clocks_(clocks), fate_(fate) {}

    // The level towards the board in this cycle.
    bool send() {
        if (left_) {
            if (!--until_) {
                until_ = clocks_;
                --left_;
                bits_ = bits_ >> 1 | 0x200;
            }
        } else if (wait_) {
            --wait_;
        } else if (!coming_.empty()) {
            bits_ = 0x200u | coming_.front() << 1;
            coming_.pop_front();
            left_ = 10;
            until_ = clocks_;
            wait_ = fate_.delay();
        }
        return left_ ? bits_ & 1 : true;
    }

    // Takes the level that comes from the board in this cycle.
    void receive(bool level) {
        if (!hearing_) {
            if (!level) hearing_ = true, clock_ = clocks_ / 2, heard_ = 0, word_ = 0;
        } else if (clock_) {
            --clock_;
        } else {
            clock_ = clocks_ - 1;
            if (heard_ == 9) {
                hearing_ = false;
                deliver(static_cast<unsigned char>(word_ >> 1));
            }
            word_ |= static_cast<unsigned>(level) << heard_++;
        }
    }

    // Takes what the host has sent; whether anything moves.
    bool look() {
        unsigned char block[256];
        const ssize_t count = read(terminal_, block, sizeof block);
        for (ssize_t i = 0; i < count; ++i)
            for (int times = fate_.befall(block[i]); times > 0; --times) coming_.push_back(block[i]);
        return count > 0 || left_ || hearing_ || !coming_.empty();
    }

  private:
    void deliver(unsigned char byte) {
        for (int times = fate_.befall(byte); times > 0; --times) {
            pollfd room{terminal_, POLLOUT, 0};
            if (write(terminal_, &byte, 1) != 1 && poll(&room, 1, kPatience) == 1 && write(terminal_, &byte, 1) != 1)
                continue;  // lost, as on any line that nobody listens to
        }
    }

    const int terminal_;
    const unsigned clocks_;
    Fate fate_;
    std::deque<unsigned char> coming_;
    unsigned bits_ = 0, left_ = 0, until_ = 0, wait_ = 0;
    bool hearing_ = false;
    unsigned clock_ = 0, heard_ = 0, word_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vtop top{&context};
    const auto number = [&](const char* name) { return std::atof(argument(argc, argv, name, "0").c_str()); };
    const auto seed = static_cast<unsigned long>(number("seed"));
    Fate fate{std::mt19937_64(seed), number("drop"), number("flip"), number("twice"), number("late")};
    const int terminal = open_terminal();
    if (terminal < 0) {
        std::perror("no pseudo terminal");
        return 1;
    }
    std::printf("%s\n", ptsname(terminal));
    std::fflush(stdout);
    Line line(terminal, static_cast<unsigned>(number("clocks")), fate);
    unsigned quiet = 0;
    for (unsigned long cycle = 0;; ++cycle) {
        top.rst = cycle < kReset;
        top.uart_rx = line.send();
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        line.receive(top.uart_tx);
        if (cycle % kPollEvery || cycle <= kReset) continue;
        quiet = line.look() ? 0 : quiet + kPollEvery;
        pollfd waiting[2] = {{STDIN_FILENO, POLLIN, 0}, {terminal, POLLIN, 0}};
        poll(waiting, 2, quiet > kQuiet ? -1 : 0);
        if (waiting[0].revents) break;
    }
    top.final();
    return 0;
}
