// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Drives one Verilated module with AXI-streams from files, and records what it gives.
//
// hw/sim/verilator.py makes model.inc, which names the model's class, its CLOCK and its RESET, and
// ports.inc, its ports:
//     SINK(name, data, valid, ready)     a stream that enters, and its signals
//     SOURCE(name, data, valid, ready)   a stream that leaves
//     CONSTANT(name)                     any other input of up to 64 bits
// MOVING, if it is defined, is an output that tells whether a beat is taken anywhere inside; TRACE
// that the model records waveforms.
//
// Arguments are key=value:
//     seed=N  max=CYCLES  tail=CYCLES  reset=CYCLE   tail: cycles that wait for beats too many
//     idle=CYCLES                                    give up after so many without a beat
//     stall.PORT=P  burst.PORT=L                     share of idle cycles, their mean run
//     count.SOURCE=BEATS                             beats to expect
//     set.INPUT=VALUE
//     progress=CYCLES                                a line `at CYCLE BEATS` so often, of all sources
//     trace=FILE                                     waveform (FST)
// NAME.times, if it is there, holds the cycle (int64) before which each beat of a sink isn't offered.
// NAME.in holds a sink's beats as the model's fields, little-endian. NAME.out receives a source's
// beats, NAME.cycles the cycle in which each beat of a port was taken; the same with `before.` for
// what came before the reset. The last line of the output is `end STATUS CYCLES`.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model.inc"

#ifdef TRACE
#include "verilated_fst_c.h"
#endif

namespace {

using Bytes = std::vector<char>;
constexpr int kResetCycles = 3;

std::map<std::string, std::string> options;

double option(const std::string &key, double otherwise) {
    auto found = options.find(key);
    return found == options.end() ? otherwise : std::stod(found->second);
}

// Idle cycles in runs of a geometric length, so that both single and long stalls happen.
class Stall {
  public:
    Stall(const std::string &port, unsigned seed)
        : share_(option("stall." + port, 0)), run_(option("burst." + port, 1)),
          random_(seed * 2654435761u + std::hash<std::string>()(port)) {}

    bool next() {
        if (share_ <= 0) return false;
        // At the least, each cycle is a draw of its own: a fixed length would fall into a rhythm.
        const double leave = std::min(1.0 / run_, 1 - share_);
        const double enter = share_ >= 1 ? 1.0 : leave * share_ / (1 - share_);
        idle_ = uniform_(random_) < (idle_ ? 1 - leave : enter);
        return idle_;
    }

  private:
    double share_, run_;
    bool idle_ = false;
    std::mt19937 random_;
    std::uniform_real_distribution<double> uniform_{0, 1};
};

struct Port {
    std::string name;
    char *data;
    std::size_t size;
    CData *valid;
    CData *ready;
    Stall stall;
    bool is_sink;
    Bytes beats{};             // a sink's input, or what a source gave
    std::vector<int64_t> times{};
    std::size_t expected = 0;  // beats
    std::size_t count = 0;     // beats taken
    std::vector<uint64_t> cycles{};
    bool offered_valid = false;
    Bytes offered{};

    bool complete() const { return count >= expected; }
};

Bytes read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write_file(const std::string &path, const void *data, std::size_t size) {
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char *>(data), static_cast<std::streamsize>(size));
}

void write_port(const Port &port, const std::string &prefix) {
    if (!port.is_sink)
        write_file(prefix + port.name + ".out", port.beats.data(), port.beats.size());
    write_file(prefix + port.name + ".cycles", port.cycles.data(), port.cycles.size() * 8);
}

void restart(Port &port) {
    write_port(port, "before.");
    port.count = 0;
    port.cycles.clear();
    if (!port.is_sink) port.beats.clear();
}

void drive(Port &port, uint64_t cycle) {
    if (!port.is_sink) return;
    // An offered beat is held until it is taken, whatever the stall says.
    if (*port.valid) return;
    if (port.count < port.times.size() && static_cast<int64_t>(cycle) < port.times[port.count])
        return;
    if (port.complete() || port.stall.next()) return;
    *port.valid = 1;
    std::memcpy(port.data, port.beats.data() + port.count * port.size, port.size);
}

// Stalled sinks show noise on tdata, which must not matter.
void scramble(Port &port, std::mt19937 &random) {
    if (!port.is_sink || *port.valid) return;
    const unsigned char noise = static_cast<unsigned char>(random());
    for (std::size_t i = 0; i < port.size && !port.beats.empty(); i++)
        port.data[i] = port.beats[i] ^ static_cast<char>(noise & port.beats[(i + 1) % port.size]);
}

void offer(Port &port) {
    if (port.is_sink) return;
    port.offered_valid = *port.valid;
    port.offered.assign(port.data, port.data + port.size);
}

bool offer_changed(const Port &port) {
    if (port.is_sink) return false;
    if (port.offered_valid != static_cast<bool>(*port.valid)) return true;
    return port.offered_valid && std::memcmp(port.offered.data(), port.data, port.size) != 0;
}

void take(Port &port, uint64_t cycle) {
    if (!*port.valid || !*port.ready) return;
    if (!port.is_sink) port.beats.insert(port.beats.end(), port.data, port.data + port.size);
    port.cycles.push_back(cycle);
    port.count++;
}

}  // namespace

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const std::string text = argv[i];
        const auto equals = text.find('=');
        options[text.substr(0, equals)] = text.substr(equals + 1);
    }
    const auto seed = static_cast<unsigned>(option("seed", 1));
    const auto limit = static_cast<uint64_t>(option("max", 1e6));
    const auto tail = static_cast<uint64_t>(option("tail", 100));
    const auto reset_at = static_cast<int64_t>(option("reset", -1));
    const auto patience = static_cast<uint64_t>(option("idle", static_cast<double>(limit)));

    const auto report = static_cast<uint64_t>(option("progress", 0));
    VerilatedContext context;
#ifdef TRACE
    context.traceEverOn(true);
#endif
    context.randReset(2);
    context.randSeed(static_cast<int>(seed));
    Model top(&context);
    std::vector<Port> ports;
    std::mt19937 random(seed);

#define CONSTANT(name) top.name = static_cast<decltype(top.name + 0)>(option("set." #name, 0));
#define STREAM(name, data, valid, ready, sink)                                                     \
    ports.push_back(Port{#name, reinterpret_cast<char *>(&top.data), sizeof(top.data), &top.valid, \
                         &top.ready, Stall(#name, seed), sink});
#define SINK(name, data, valid, ready) STREAM(name, data, valid, ready, true)
#define SOURCE(name, data, valid, ready) STREAM(name, data, valid, ready, false)
#include "ports.inc"

    for (Port &port : ports) {
        if (port.is_sink) {
            port.beats = read_file(port.name + ".in");
            port.expected = port.beats.size() / port.size;
            const Bytes times = read_file(port.name + ".times");
            port.times.resize(times.size() / sizeof(int64_t));
            std::copy(times.begin(), times.end(), reinterpret_cast<char *>(port.times.data()));
            *port.valid = 0;
        } else {
            port.expected = static_cast<std::size_t>(option("count." + port.name, 0));
            *port.ready = 0;
        }
    }

    std::string status = "timeout";
    uint64_t cycle = 0, waited = 0, idle = 0;
    int resetting = kResetCycles;
    std::vector<char> taken(ports.size());
    top.CLOCK = 1;
    top.RESET = 0;
#ifdef TRACE
    VerilatedFstC wave;
    const bool traced = options.count("trace");
    if (traced) {
        top.trace(&wave, 99);
        wave.open(options["trace"].c_str());
    }
#endif
    top.eval();
    for (; cycle < limit; cycle++) {
        if (static_cast<int64_t>(cycle) == reset_at) {
            for (Port &port : ports) restart(port);
            resetting = kResetCycles;
        }
        top.RESET = resetting == 0;
        for (Port &port : ports) {
            if (resetting && port.is_sink) *port.valid = 0;
            if (!resetting) drive(port, cycle);
            scramble(port, random);
            if (!port.is_sink) *port.ready = 0;
        }
        top.CLOCK = 0;
        top.eval();
        for (Port &port : ports) offer(port);
        for (Port &port : ports)
            if (!port.is_sink) *port.ready = !port.stall.next();
        top.eval();
        for (Port &port : ports) {
            if (offer_changed(port)) status = "valid-depends-on-ready " + port.name;
            // The first cycle of a reset may still show the beat that was there before it.
            if (resetting && resetting < kResetCycles && !port.is_sink && *port.valid)
                status = "valid-in-reset " + port.name;
            if (!resetting) take(port, cycle);
            if (!port.is_sink && port.count > port.expected) status = "beat-invented " + port.name;
        }
#ifdef TRACE
        if (traced) wave.dump(2 * cycle);
#endif
        if (status != "timeout") break;
        if (report && cycle % report == 0) {
            std::size_t given = 0;
            for (const Port &port : ports) given += port.is_sink ? 0 : port.count;
            std::printf("at %llu %zu\n", static_cast<unsigned long long>(cycle), given);
            std::fflush(stdout);
        }
        top.CLOCK = 1;
        bool moving = false;
        for (std::size_t i = 0; i < ports.size(); i++) {
            taken[i] = *ports[i].valid && *ports[i].ready && !resetting;
            moving = moving || taken[i];
        }
#ifdef MOVING
        moving = moving || top.MOVING;
#endif
        idle = moving ? 0 : idle + 1;
        top.eval();
#ifdef TRACE
        if (traced) wave.dump(2 * cycle + 1);
#endif
        for (std::size_t i = 0; i < ports.size(); i++)
            if (ports[i].is_sink && taken[i]) *ports[i].valid = 0;
        if (resetting) resetting--;
        bool complete = static_cast<int64_t>(cycle) > reset_at;
        for (const Port &port : ports) complete = complete && port.complete();
        if (complete && waited++ >= tail) {
            status = "done";
            break;
        }
        if (!complete && idle >= patience) break;
    }
    if (status == "timeout")
        for (const Port &port : ports)
            if (!port.complete())
                status += " " + port.name + " " + std::to_string(port.count) + "/" +
                          std::to_string(port.expected);
    for (const Port &port : ports) write_port(port, "");
    top.final();
#ifdef TRACE
    wave.close();
#endif
    std::printf("end %llu %s\n", static_cast<unsigned long long>(cycle), status.c_str());
    return 0;
}
