// The emulator's inside: regions of memory with their shadow cells, the threads, warps and blocks
// of the launch under way, and the findings. One State exists at a time; single-threaded.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "support/simt/device.h"
#include "support/simt/simt.h"

namespace gtrain::simt {

// Code addresses relative to the program's load address.
using Code = std::uint32_t;

// An access a cell remembers. `time` counts all accesses of a Device; 0: none.
struct Access {
  std::uint32_t time = 0;
  std::uint32_t block = 0;
  std::uint16_t thread = 0;
  std::uint8_t bytes = 0;  // of the cell, one bit each
  bool atomic = false;
  Code code = 0;
};

// The last writer and two readers of up to four bytes: enough, as every pair of conflicting
// accesses that are neighbours in time is seen, and schedules vary which those are.
struct Cell {
  Access write;
  Access read[2];
};

constexpr std::uint8_t kPendingCopy = 0x80;  // of Region::state; the low bits: byte is initialised

struct Region {
  std::string name;
  char* begin = nullptr;
  std::size_t bytes = 0;
  std::size_t element = 1;
  bool read_only = false;
  bool shared = false;
  int slot = -1;  // shared: of the resident block that owns it
  int shift = 2;  // a cell covers 1 << shift bytes
  std::vector<Cell> cells;
  std::vector<std::uint8_t> state;  // per cell
  Traffic loads, stores;
};

enum class Kind : std::uint8_t { kLoad, kStore, kAtomic, kReadOnlyLoad };

struct Request {
  std::uint32_t lanes = 0;
  std::uint32_t bytes = 0;
  std::uint64_t address[32] = {};
};
struct SiteLog {
  Region* region = nullptr;
  bool store = false;
  std::uint32_t count[32] = {};
  std::vector<Request> requests;
};
struct SiteTotal {
  Traffic traffic;
  Banks banks;
};

struct AsyncCopy {
  char* target;
  const char* source;
  int bytes;
  int group;
  Code code;
  bool fetched;
  char data[16];
};

struct Block;
struct Warp;

struct Thread {
  boost::context::detail::fcontext_t context = nullptr;
  std::uintptr_t stack = 0;  // its lowest address
  Block* block = nullptr;
  Warp* warp = nullptr;
  uint3 place{0, 0, 0};
  std::uint16_t index = 0;
  std::uint8_t lane = 0;
  bool exited = false;
  bool at_barrier = false;
  std::vector<AsyncCopy> copies;
  int groups = 0;  // of copies that were committed
};

// What a collective call of a warp does; part of what must agree.
enum class Meeting : std::uint8_t { kBarrier, kShuffle, kVote, kMultiply, kLoadMatrix };

struct Group {
  Meeting meeting;
  Site site;
  unsigned mask;  // as given
  unsigned arrived;
};

// What a lane brings to a meeting and takes away.
struct Offer {
  std::uint64_t value = 0;
  std::uint64_t result = 0;
  int operand = 0, width = 32, kind = 0;
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
};

struct Warp {
  Block* block = nullptr;
  Thread* threads = nullptr;
  unsigned present = 0, exited = 0;
  int group_count = 0;
  Group groups[32];
  Offer offers[32];
  // clock[b][a]: the time up to which lane b has been synchronised with what lane a did.
  std::uint32_t clock[32][32];
  std::unordered_map<Code, SiteLog> log;
};

struct Block {
  std::uint32_t linear = 0;
  uint3 index{0, 0, 0};
  int slot = 0;
  int live = 0, arrived = 0, starved_warp = -1;
  Site barrier_site{nullptr, 0};
  std::uint32_t barrier_time = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::uint64_t runnable[16] = {};
  Region* shared = nullptr;
};

enum class Order { kUp, kDown, kRandom, kStarved };

// A finding before it is put into words, which needs more stack than a thread has.
struct RawFinding {
  const char* kind;
  std::string detail;
  bool has_thread = false;
  std::uint32_t block = 0;
  std::uint16_t thread = 0;
  Code code = 0;
  Site site{nullptr, 0};
  bool has_other = false;
  Access other;
  bool other_store = false;
};

struct Random {
  std::uint64_t state;
  std::uint32_t next() {
    state += 0x9e3779b97f4a7c15ULL;
    std::uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<std::uint32_t>((x ^ (x >> 31)) >> 16);
  }
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(next()) * n) >> 32);
  }
};

struct State {
  std::uint64_t seed;
  DeviceOptions options;
  Random random;
  Order order = Order::kUp;
  int resident_limit = 1;
  std::uint32_t switch_every = 0;  // mean accesses between interruptions; 0: never
  bool truncating = false;         // matrix products

  std::vector<Region*> regions;  // [0]: none
  std::size_t arena_used = 0;

  std::vector<RawFinding> raw;
  std::map<std::tuple<std::string, Code, Code, int>, int> seen;
  std::vector<Finding> findings;
  std::vector<Launch> launches;

  std::uint32_t time = 0;  // of the last access
  std::uint32_t launch_time = 0;

  // The launch under way.
  boost::context::detail::fcontext_t main = nullptr;
  void (*call)(const void*) = nullptr;
  const char* parameters = nullptr;
  std::size_t parameter_bytes = 0;
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  std::vector<Block*> resident;
  std::uint64_t steps = 0;
  std::uint32_t until_switch = 0;
  bool aborted = false;

  Banks banks;
  std::map<std::tuple<Code, Region*, bool>, SiteTotal> sites;
};

extern State* device_state;     // of the Device that exists
extern Thread* current_thread;  // null outside of kernels

constexpr std::size_t kStackBytes = 128 * 1024;
constexpr int kMaxResident = 4;

// memory.cpp
char* arena();
Region* region_at(const void* p);
void map_region(Region* region, bool mapped);
Region* shared_region(int slot);
// One access of `thread`: bounds, alignment, races, initialisation. Does not interrupt the thread.
void check_access(Thread* thread, const void* p, int bytes, Kind kind, bool aligned, Code code);
// The same for the running thread, which may be interrupted before; counts a step.
void access(const void* p, int bytes, Kind kind, bool aligned, const void* code);
Region* expect_space(const void* p, bool shared, const char* what, const void* code);

// scheduler.cpp
void step();
void wait_for_others();
void make_runnable(Thread* thread, bool runnable);
void reschedule();
[[noreturn]] void abort_launch();

// warp.cpp
void describe_waiting(Block* block);
void meet_warp(Meeting meeting, Site site, const std::function<void(Warp&)>& work);

// copy.cpp
void expect_no_copies(Thread* thread);

// traffic.cpp
void record_request(Thread* thread, Region* region, const void* p, int bytes, bool store,
                    Code code);
void collect_requests(Block* block);

// report.cpp
Code code_of(const void* address);
void find(RawFinding finding);
RawFinding finding_of(const Thread* thread, const char* kind, std::string detail, Code code);
RawFinding finding_of(const Thread* thread, const char* kind, std::string detail, Site site);
void put_into_words(State& state);
std::string source_line(Code code);

}  // namespace gtrain::simt
