// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A board in simulation: a Verilated module with an AXI4-Lite slave s_axi_* and an AXI4 master
// m_axi_*, a memory behind the master, and a host that speaks through a pipe.
//
// hw/sim/verilator.py makes model.inc, which names the model's class, and ports.inc, whose CONSTANT
// entries are its inputs. Arguments are key=value:
//     memory=FILE base=ADDRESS bytes=N   the memory: the host maps the same file
//     seed=N  burst=BEATS  strict=0|1    longest burst; look for paths from inputs to outputs
// Requests and replies are the structures below, on standard input and output. A reply with text
// tells of a rule that the module broke since the last one.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "model.inc"

namespace {

enum Operation : uint32_t {
    kRead = 1, kWrite, kRun, kAdd, kRemove, kFail, kMend, kHold, kTiming, kReset, kCount
};
struct Request { uint32_t operation, a; uint64_t b, c; double d; };
struct Reply { uint64_t value, cycles; uint32_t text_bytes, zero; };

// What the memory and the host do; shares are of the cycles in which they take part.
enum Timing {
    kLatency, kJitter, kReadShare, kWriteShare, kRequestShare, kDepth,
    kHostShare, kAddressDelay, kDataDelay, kResponseDelay, kTimings
};
enum Counted { kReadBursts, kWriteBursts, kReadBeats, kWriteBeats, kLongest, kOpen, kCounted };

constexpr uint32_t kReads = 1, kWrites = 2;
constexpr uint64_t kPatience = 100000;  // cycles that a register access may take
constexpr int kResetCycles = 4;
constexpr int kWakeCycles = 40;  // before the host's first access
constexpr uint64_t kPage = 4096;

struct Burst { uint64_t address; unsigned beats, beat; uint64_t due; uint8_t response; };
struct Fault { uint64_t base, end; uint32_t kinds; uint8_t response; };
struct Beat { uint64_t data; uint8_t strobe; bool last; };
struct Done { bool r, b, host_aw, host_w, host_b, host_ar, host_r; };  // beats taken at an edge

class Board {
  public:
    Board(char *memory, uint64_t base, uint64_t bytes, unsigned seed, unsigned burst, bool strict)
        : memory_(memory), base_(base), bytes_(bytes), burst_(burst), strict_(strict), random_(seed) {
        context_.randReset(2);
        context_.randSeed(static_cast<int>(seed));
        top_ = std::make_unique<Model>(&context_);
#define CONSTANT(name) inputs_[#name] = [this](uint64_t v) { assign(top_->name, v); };
#define SINK(...)
#define SOURCE(...)
#include "ports.inc"
        for (auto &[name, set] : inputs_) set(0);
        top_->eval();
        // Registers start with any values, that of the accelerator's reset too, so that until the
        // first edge assertions would judge an accelerator that is not in reset.
        context_.assertOn(false);
        top_->aresetn = 0;
        in_reset_ = true;
        run(1);
        context_.assertOn(true);
        reset(kResetCycles - 1);
    }
    ~Board() { top_->final(); }

    uint64_t cycles() const { return cycle_; }
    std::string violations() { return std::exchange(violations_, {}); }

    uint64_t serve(const Request &request) {
        switch (request.operation) {
            case kRead: return read(request.a);
            case kWrite: write(request.a, static_cast<uint32_t>(request.b), request.c); break;
            case kRun: run(request.b); break;
            case kAdd: regions_[request.b] = request.b + request.c; break;
            case kRemove: regions_.erase(request.b); break;
            case kFail:
                faults_.push_back({request.b, request.b + request.c, request.a >> 8,
                                   static_cast<uint8_t>(request.a & 3)});
                break;
            case kMend: faults_.clear(); break;
            case kHold: inputs_.at("hold")(request.b); break;
            case kTiming: timing_.at(request.a) = request.d; break;
            case kReset: reset(request.b); break;
            case kCount: return count(request.a);
            default: complain("an unknown request");
        }
        return 0;
    }

  private:
    template <typename Field> static void assign(Field &field, uint64_t value) {
        if constexpr (std::is_integral_v<Field>) field = static_cast<Field>(value);
    }

    void complain(const std::string &text) {
        if (violations_.size() < 2000)
            violations_ += "cycle " + std::to_string(cycle_) + ": " + text + "\n";
    }

    bool chance(double share) { return share >= 1 || uniform_(random_) < share; }
    uint64_t latency() {
        const auto jitter = static_cast<uint64_t>(timing_[kJitter]);
        return static_cast<uint64_t>(timing_[kLatency]) + (jitter ? random_() % (jitter + 1) : 0);
    }

    uint64_t count(uint32_t which) {
        if (which == kOpen)
            return reads_.size() + writes_.size() + answers_.size() + beats_.size();
        return counted_.at(which);
    }

    void reset(uint64_t cycles) {
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_arvalid = 0;
        top_->s_axi_bready = top_->s_axi_rready = 0;
        top_->m_axi_rvalid = top_->m_axi_bvalid = 0;
        reads_.clear();
        writes_.clear();
        beats_.clear();
        answers_.clear();
        ar_held_ = aw_held_ = w_held_ = false;
        in_reset_ = true;
        top_->aresetn = 0;
        run(cycles);
        if (top_->m_axi_arvalid || top_->m_axi_awvalid || top_->m_axi_wvalid || top_->s_axi_bvalid ||
            top_->s_axi_rvalid)
            complain("valid in reset");
        top_->aresetn = 1;
        in_reset_ = false;
        run(kWakeCycles);
    }

    void run(uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; i++) step();
    }

    // Every output of the module comes from registers, so one look at them a cycle is enough.
    void step() {
        done_ = {};
        if (!in_reset_) {
            check();
            drive();
            if (strict_) look_for_paths();
            take();
        }
        top_->aclk = 1;
        top_->eval();
        top_->aclk = 0;
        top_->eval();
        cycle_++;
        if (done_.r) top_->m_axi_rvalid = 0;
        if (done_.b) top_->m_axi_bvalid = 0;
        if (done_.host_aw) top_->s_axi_awvalid = 0;
        if (done_.host_w) top_->s_axi_wvalid = 0;
        if (done_.host_ar) top_->s_axi_arvalid = 0;
    }

    void write(uint32_t offset, uint32_t value, uint64_t strobe) {
        bool address = false, data = false;
        for (uint64_t n = 0; n < kPatience; n++) {
            if (!address && !top_->s_axi_awvalid && n >= timing_[kAddressDelay] && host_wants()) {
                top_->s_axi_awvalid = 1;
                top_->s_axi_awaddr = offset;
            }
            if (!data && !top_->s_axi_wvalid && n >= timing_[kDataDelay] && host_wants()) {
                top_->s_axi_wvalid = 1;
                top_->s_axi_wdata = value;
                top_->s_axi_wstrb = strobe;
            }
            top_->s_axi_bready = n >= timing_[kResponseDelay] && host_wants();
            step();
            address |= done_.host_aw;
            data |= done_.host_w;
            if (!done_.host_b) continue;
            if (!address || !data) complain("a write was answered before it was complete");
            if (top_->s_axi_bresp) complain("a register access was answered with an error");
            top_->s_axi_bready = 0;
            return;
        }
        complain("a register was never written");
    }

    uint64_t read(uint32_t offset) {
        bool address = false;
        for (uint64_t n = 0; n < kPatience; n++) {
            if (!address && !top_->s_axi_arvalid && n >= timing_[kAddressDelay] && host_wants()) {
                top_->s_axi_arvalid = 1;
                top_->s_axi_araddr = offset;
            }
            top_->s_axi_rready = n >= timing_[kResponseDelay] && host_wants();
            step();
            address |= done_.host_ar;
            if (!done_.host_r) continue;
            if (!address) complain("a read was answered before it was asked");
            if (top_->s_axi_rresp) complain("a register access was answered with an error");
            top_->s_axi_rready = 0;
            return r_;
        }
        complain("a register was never read");
        return 0;
    }

    bool host_wants() { return chance(timing_[kHostShare]); }

    auto outputs() const {
        return std::array<uint64_t, 17>{
            top_->m_axi_arvalid, top_->m_axi_araddr, top_->m_axi_arlen, top_->m_axi_awvalid,
            top_->m_axi_awaddr, top_->m_axi_awlen, top_->m_axi_wvalid, top_->m_axi_wdata,
            top_->m_axi_wlast, top_->m_axi_rready, top_->m_axi_bready, top_->s_axi_awready,
            top_->s_axi_wready, top_->s_axi_bvalid, top_->s_axi_arready, top_->s_axi_rvalid,
            top_->s_axi_rdata};
    }

    void look_for_paths() {
        const auto before = outputs();
        top_->eval();
        if (outputs() != before) complain("an output depends on an input in the same cycle");
    }

    // Offers that were not taken must stay as they were.
    void check() {
        if (ar_held_ && (!top_->m_axi_arvalid || ar_ != request(top_->m_axi_araddr, top_->m_axi_arlen)))
            complain("a read request was withdrawn or changed");
        if (aw_held_ && (!top_->m_axi_awvalid || aw_ != request(top_->m_axi_awaddr, top_->m_axi_awlen)))
            complain("a write request was withdrawn or changed");
        if (w_held_ && (!top_->m_axi_wvalid || w_.data != top_->m_axi_wdata ||
                        w_.last != static_cast<bool>(top_->m_axi_wlast) ||
                        w_.strobe != top_->m_axi_wstrb))
            complain("write data were withdrawn or changed");
        if (b_held_ && !top_->s_axi_bvalid) complain("a write response was withdrawn");
        if (r_held_ && (!top_->s_axi_rvalid || r_ != top_->s_axi_rdata))
            complain("a read response was withdrawn or changed");
    }

    static std::pair<uint64_t, unsigned> request(uint64_t address, unsigned length) {
        return {address, length};
    }

    void drive() {
        const auto depth = static_cast<std::size_t>(timing_[kDepth]);
        const double share = timing_[kRequestShare];
        top_->m_axi_arready = reads_.size() < depth && chance(share);
        top_->m_axi_awready = writes_.size() + answers_.size() < depth && chance(share);
        top_->m_axi_wready = beats_.size() < 4 && chance(timing_[kWriteShare]);
        if (!top_->m_axi_rvalid) {
            if (!reads_.empty() && reads_.front().due <= cycle_ && chance(timing_[kReadShare]))
                offer_read();
            else
                top_->m_axi_rdata = random_();
        }
        if (!top_->m_axi_bvalid && !answers_.empty() && answers_.front().due <= cycle_) {
            top_->m_axi_bvalid = 1;
            top_->m_axi_bresp = answers_.front().response;
        }
    }

    void offer_read() {
        const Burst &burst = reads_.front();
        const uint64_t address = burst.address + 8 * burst.beat;
        const uint8_t response = answer(address, kReads);
        uint64_t data = 0;
        if (response & 2)
            data = random_();
        else
            std::memcpy(&data, memory_ + (address - base_), 8);
        top_->m_axi_rvalid = 1;
        top_->m_axi_rdata = data;
        top_->m_axi_rresp = response;
        top_->m_axi_rlast = burst.beat + 1 == burst.beats;
    }

    // What the memory says to an access of a word.
    uint8_t answer(uint64_t address, uint32_t kind) {
        for (const Fault &fault : faults_)
            if ((fault.kinds & kind) && address + 8 > fault.base && address < fault.end)
                return fault.response;
        auto next = regions_.upper_bound(address);
        const bool inside = next != regions_.begin() && address < std::prev(next)->second;
        if (inside && address >= base_ && address + 8 <= base_ + bytes_) return 0;
        char text[100];
        std::snprintf(text, sizeof text, "a %s at 0x%llx, outside of every buffer",
                      kind == kReads ? "read" : "write", static_cast<unsigned long long>(address));
        complain(text);
        return 3;
    }

    Burst accept(uint64_t address, unsigned length, unsigned size, unsigned kind) {
        const unsigned beats = length + 1;
        if (size != 3 || kind != 1) complain("a burst that is no INCR of 8 bytes");
        if (address % 8) complain("a burst whose address is no multiple of 8");
        if (beats > burst_) complain("a burst of " + std::to_string(beats) + " beats");
        if (address / kPage != (address + 8 * beats - 1) / kPage) complain("a burst across 4 KiB");
        if (beats > counted_[kLongest]) counted_[kLongest] = beats;
        return {address, beats, 0, cycle_ + latency(), 0};
    }

    // What both sides agree on at the coming edge.
    void take() {
        done_ = {top_->m_axi_rvalid && top_->m_axi_rready, top_->m_axi_bvalid && top_->m_axi_bready,
                 top_->s_axi_awvalid && top_->s_axi_awready, top_->s_axi_wvalid && top_->s_axi_wready,
                 top_->s_axi_bvalid && top_->s_axi_bready,
                 top_->s_axi_arvalid && top_->s_axi_arready,
                 top_->s_axi_rvalid && top_->s_axi_rready};
        ar_held_ = top_->m_axi_arvalid && !top_->m_axi_arready;
        ar_ = request(top_->m_axi_araddr, top_->m_axi_arlen);
        aw_held_ = top_->m_axi_awvalid && !top_->m_axi_awready;
        aw_ = request(top_->m_axi_awaddr, top_->m_axi_awlen);
        w_held_ = top_->m_axi_wvalid && !top_->m_axi_wready;
        w_ = {top_->m_axi_wdata, static_cast<uint8_t>(top_->m_axi_wstrb),
              static_cast<bool>(top_->m_axi_wlast)};
        b_held_ = top_->s_axi_bvalid && !top_->s_axi_bready;
        r_held_ = top_->s_axi_rvalid && !top_->s_axi_rready;
        r_ = top_->s_axi_rdata;
        if (done_.r) {
            counted_[kReadBeats]++;
            if (++reads_.front().beat == reads_.front().beats) reads_.pop_front();
        }
        if (done_.b) answers_.pop_front();
        if (top_->m_axi_arvalid && top_->m_axi_arready) {
            reads_.push_back(accept(top_->m_axi_araddr, top_->m_axi_arlen, top_->m_axi_arsize,
                                    top_->m_axi_arburst));
            counted_[kReadBursts]++;
        }
        if (top_->m_axi_awvalid && top_->m_axi_awready) {
            writes_.push_back(accept(top_->m_axi_awaddr, top_->m_axi_awlen, top_->m_axi_awsize,
                                     top_->m_axi_awburst));
            counted_[kWriteBursts]++;
        }
        if (top_->m_axi_wvalid && top_->m_axi_wready) beats_.push_back(w_);
        while (!writes_.empty() && !beats_.empty()) store();
    }

    void store() {
        Burst &burst = writes_.front();
        const Beat beat = beats_.front();
        beats_.pop_front();
        counted_[kWriteBeats]++;
        const uint64_t address = burst.address + 8 * burst.beat;
        const uint8_t response = answer(address, kWrites);
        if (response > burst.response) burst.response = response;
        if (!(response & 2))
            for (int i = 0; i < 8; i++)
                if (beat.strobe >> i & 1)
                    memory_[address - base_ + i] = static_cast<char>(beat.data >> (8 * i));
        burst.beat++;
        if (beat.last != (burst.beat == burst.beats)) complain("wlast at a wrong beat");
        if (burst.beat < burst.beats) return;
        burst.due = cycle_ + latency();
        answers_.push_back(burst);
        writes_.pop_front();
    }

    VerilatedContext context_;  // outlives the model
    std::unique_ptr<Model> top_;
    char *memory_;
    uint64_t base_, bytes_;
    unsigned burst_;
    bool strict_;
    std::mt19937_64 random_;
    std::uniform_real_distribution<double> uniform_{0, 1};
    std::map<std::string, std::function<void(uint64_t)>> inputs_;
    std::map<uint64_t, uint64_t> regions_;
    std::vector<Fault> faults_;
    std::array<double, kTimings> timing_{20, 0, 1, 1, 1, 8, 1};
    std::array<uint64_t, kCounted> counted_{};
    std::deque<Burst> reads_, writes_, answers_;
    std::deque<Beat> beats_;
    std::string violations_;
    uint64_t cycle_ = 0;
    bool in_reset_ = false;
    bool ar_held_ = false, aw_held_ = false, w_held_ = false, b_held_ = false, r_held_ = false;
    std::pair<uint64_t, unsigned> ar_, aw_;
    Beat w_{};
    uint32_t r_ = 0;
    Done done_{};
};

bool get(int file, void *data, std::size_t size) {
    auto *at = static_cast<char *>(data);
    while (size) {
        const ssize_t n = ::read(file, at, size);
        if (n <= 0) return false;
        at += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

void put(int file, const void *data, std::size_t size) {
    auto *at = static_cast<const char *>(data);
    while (size) {
        const ssize_t n = ::write(file, at, size);
        if (n <= 0) std::exit(1);
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}

}  // namespace

int main(int argc, char **argv) {
    std::map<std::string, std::string> options;
    for (int i = 1; i < argc; i++) {
        const std::string text = argv[i];
        const auto equals = text.find('=');
        options[text.substr(0, equals)] = text.substr(equals + 1);
    }
    const int replies = ::dup(1);
    ::dup2(2, 1);  // what the model prints is no reply
    const uint64_t bytes = std::stoull(options.at("bytes"));
    const int file = ::open(options.at("memory").c_str(), O_RDWR);
    void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || memory == MAP_FAILED) return 1;
    Board board(static_cast<char *>(memory), std::stoull(options.at("base")), bytes,
                static_cast<unsigned>(std::stoul(options.at("seed"))),
                static_cast<unsigned>(std::stoul(options.at("burst"))), options.at("strict") == "1");
    for (Request request; get(0, &request, sizeof request);) {
        Reply reply{board.serve(request), board.cycles(), 0, 0};
        const std::string text = board.violations();
        reply.text_bytes = static_cast<uint32_t>(text.size());
        put(replies, &reply, sizeof reply);
        put(replies, text.data(), text.size());
    }
    return 0;
}
