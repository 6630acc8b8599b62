// One fiber per thread. A fiber runs until it waits for others or is interrupted, and hands over to
// the next by itself; the launching stack starts blocks and takes over when one is done.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "ops/cuda/device.cuh"
#include "support/simt/state.h"

namespace gtrain::simt {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

State* device_state = nullptr;
Thread* current_thread = nullptr;

namespace {

constexpr std::size_t kStackStride = kStackBytes + 4096;  // a guard page below each

char* stacks() {
  static char* const base = [] {
    const std::size_t bytes = kMaxResident * 1024 * kStackStride;
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return static_cast<char*>(p);
  }();
  return base;
}

// A guard page lies below each stack, so that running over it is a fault.
char* stack_of(int slot, unsigned thread) {
  static unsigned guarded[kMaxResident];
  char* low = stacks() + (static_cast<unsigned>(slot) * 1024 + thread) * kStackStride;
  if (thread >= guarded[slot]) {
    mprotect(low, 4096, PROT_NONE);
    guarded[slot] = thread + 1;
  }
#ifdef __SANITIZE_ADDRESS__
  // Frames of a launch that was broken off never unwound.
  __asan_unpoison_memory_region(low + 4096, kStackBytes);
#endif
  return low + 4096;
}

void resumed_from(transfer_t t) { *static_cast<fcontext_t*>(t.data) = t.fctx; }

void jump_to(Thread* next) {
  Thread* self = current_thread;
  current_thread = next;
  resumed_from(jump_fcontext(next->context, &self->context));
}

void to_main() {
  Thread* self = current_thread;
  current_thread = nullptr;
  resumed_from(jump_fcontext(device_state->main, &self->context));
}

// The first runnable thread at or after bit `from` of the block, going round; starving one warp.
Thread* runnable_from(Block* b, unsigned from, bool down) {
  const unsigned words = static_cast<unsigned>((b->threads.size() + 63) / 64);
  for (unsigned i = 0; i <= words; ++i) {
    const unsigned word = (from / 64 + (down ? words * 2 - i : i)) % words;
    std::uint64_t bits = b->runnable[word];
    if (b->starved_warp >= 0 && static_cast<unsigned>(b->starved_warp) / 2 == word)
      bits &= ~(0xffffffffULL << (b->starved_warp % 2 * 32));
    const unsigned start = from % 64;
    if (i == 0) bits &= down ? (~0ULL >> (63 - start)) : (~0ULL << start);
    if (i == words) bits &= down ? ~(~0ULL >> (63 - start)) : ~(~0ULL << start);
    if (bits == 0) continue;
    const int bit = down ? 63 - __builtin_clzll(bits) : __builtin_ctzll(bits);
    return &b->threads[word * 64 + static_cast<unsigned>(bit)];
  }
  if (b->starved_warp < 0) return nullptr;
  const unsigned first = static_cast<unsigned>(b->starved_warp) * 32;
  const unsigned own = static_cast<unsigned>(b->runnable[first / 64] >> (first % 64));
  return own == 0 ? nullptr : &b->threads[first + static_cast<unsigned>(__builtin_ctz(own))];
}

Thread* pick() {
  State& s = *device_state;
  const std::size_t count = s.resident.size();
  const std::size_t start = s.order == Order::kRandom && count > 1
                                ? s.random.below(static_cast<std::uint32_t>(count))
                                : 0;
  for (std::size_t i = 0; i < count; ++i) {
    Block* b = s.resident[(start + i) % count];
    if (b->live == 0) continue;
    const unsigned last = static_cast<unsigned>(b->threads.size()) - 1;
    const unsigned from = s.order == Order::kRandom ? s.random.below(last + 1)
                          : s.order == Order::kDown ? last
                                                    : 0;
    if (Thread* t = runnable_from(b, from, s.order == Order::kDown)) return t;
  }
  return nullptr;
}

void restart_countdown(State& s) {
  s.until_switch = s.switch_every == 0 ? 0 : 1 + s.random.below(2 * s.switch_every);
}

void leave(Thread* self) {
  State& s = *device_state;
  Block* b = self->block;
  expect_no_copies(self);
  self->exited = true;
  self->warp->exited |= 1u << self->lane;
  make_runnable(self, false);
  if (--b->live == 0) {
    to_main();
  } else if (Thread* next = pick()) {
    jump_to(next);
  } else {
    for (Block* waiting : s.resident) describe_waiting(waiting);
    abort_launch();
  }
}

void run_thread(transfer_t t) {
  resumed_from(t);
  device_state->call(device_state->parameters);
  leave(current_thread);
  std::abort();  // nobody resumes a thread that has left
}

void start_warp(Warp& w, Block& b, std::size_t first) {
  const std::size_t lanes = std::min<std::size_t>(32, b.threads.size() - first);
  w.block = &b;
  w.threads = &b.threads[first];
  w.present = lanes == 32 ? ~0u : (1u << lanes) - 1;
  w.exited = 0;
  w.group_count = 0;
  for (auto& row : w.clock) std::fill(std::begin(row), std::end(row), device_state->time);
  w.log.clear();
}

void start_shared(Block& b) {
  State& s = *device_state;
  Region* r = b.shared = shared_region(b.slot);
  r->bytes = s.shared_bytes;
  const std::size_t cells = (s.shared_bytes + 3) >> r->shift;
  if (r->cells.size() < cells) r->cells.resize(cells);
  std::fill_n(r->cells.begin(), cells, Cell{});
  r->state.assign(cells, 0);
  std::fill(r->begin, r->begin + s.shared_bytes, static_cast<char>(0xff));
}

void start_block(Block& b, std::uint32_t linear) {
  State& s = *device_state;
  const unsigned count = s.block.x * s.block.y * s.block.z;
  b.linear = linear;
  b.index = {linear % s.grid.x, linear / s.grid.x % s.grid.y, linear / s.grid.x / s.grid.y};
  b.live = static_cast<int>(count);
  b.arrived = 0;
  b.barrier_time = s.time;
  b.threads.resize(count);
  b.warps.resize((count + 31) / 32);
  b.starved_warp =
      s.order == Order::kStarved && b.warps.size() > 1
          ? static_cast<int>(s.random.below(static_cast<std::uint32_t>(b.warps.size())))
          : -1;
  std::fill(std::begin(b.runnable), std::end(b.runnable), 0);
  for (unsigned i = 0; i < count; ++i) {
    Thread& t = b.threads[i];
    char* low = stack_of(b.slot, i);
    t.stack = reinterpret_cast<std::uintptr_t>(low);
    t.context = make_fcontext(low + kStackBytes, kStackBytes, run_thread);
    t.block = &b;
    t.warp = &b.warps[i / 32];
    t.index = static_cast<std::uint16_t>(i);
    t.place = {i % s.block.x, i / s.block.x % s.block.y, i / s.block.x / s.block.y};
    t.lane = static_cast<std::uint8_t>(i % 32);
    t.exited = t.at_barrier = false;
    t.copies.clear();
    t.groups = 0;
    make_runnable(&t, true);
  }
  for (std::size_t w = 0; w < b.warps.size(); ++w) start_warp(b.warps[w], b, w * 32);
  start_shared(b);
}

// Blocks in the order of the schedule.
std::vector<std::uint32_t> block_order(State& s, std::uint32_t count) {
  std::vector<std::uint32_t> order(count);
  for (std::uint32_t i = 0; i < count; ++i) order[i] = s.order == Order::kDown ? count - 1 - i : i;
  if (s.order == Order::kRandom || s.order == Order::kStarved) {
    for (std::uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[s.random.below(i)]);
  }
  return order;
}

void run_blocks(State& s) {
  static Block blocks[kMaxResident];
  const auto order = block_order(s, s.grid.x * s.grid.y * s.grid.z);
  std::size_t next = 0;
  std::vector<Block*> unused;
  for (int i = s.resident_limit - 1; i >= 0; --i) {
    blocks[i].slot = i;
    unused.push_back(&blocks[i]);
  }
  while (!s.aborted) {
    while (!unused.empty() && next < order.size()) {
      Block* b = unused.back();
      unused.pop_back();
      start_block(*b, order[next++]);
      s.resident.push_back(b);
    }
    if (s.resident.empty()) return;
    current_thread = pick();
    resumed_from(jump_fcontext(current_thread->context, &s.main));
    current_thread = nullptr;
    for (std::size_t i = 0; i < s.resident.size();) {
      if (s.resident[i]->live == 0) {
        if (s.options.measure) collect_requests(s.resident[i]);
        unused.push_back(s.resident[i]);
        s.resident.erase(s.resident.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }
}

// Empty where the shape is within the limits of both sm_80 and sm_90.
std::string limits_broken(const LaunchShape& shape) {
  const dim3 &g = shape.grid, &b = shape.block;
  if (g.x == 0 || g.y == 0 || g.z == 0 || b.x == 0 || b.y == 0 || b.z == 0)
    return "a dimension of the grid or the block is 0";
  if (g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
    return "the grid is larger than 2147483647 x 65535 x 65535";
  if (b.x > 1024 || b.y > 1024 || b.z > 64 || std::uint64_t{b.x} * b.y * b.z > 1024)
    return "the block has more than 1024 threads";
  if (shape.shared_bytes > shape.shared_limit)
    return std::to_string(shape.shared_bytes) + " bytes of shared memory; at most " +
           std::to_string(shape.shared_limit);
  if (std::uint64_t{g.x} * g.y * g.z > 10'000'000) return "more blocks than the emulator runs";
  return "";
}

}  // namespace

void make_runnable(Thread* t, bool runnable) {
  std::uint64_t& word = t->block->runnable[t->index / 64];
  const std::uint64_t bit = 1ULL << (t->index % 64);
  word = runnable ? word | bit : word & ~bit;
}

void reschedule() {
  Thread* next = pick();
  if (next != current_thread) jump_to(next);
}

void step() {
  State& s = *device_state;
  if (++s.steps > s.options.step_limit) {
    find(finding_of(current_thread, "does not end", "the launch exceeded its limit of steps",
                    Code{0}));
    abort_launch();
  }
  if (s.switch_every != 0 && --s.until_switch == 0) {
    restart_countdown(s);
    reschedule();
  }
}

void wait_for_others() {
  make_runnable(current_thread, false);
  if (Thread* next = pick()) {
    jump_to(next);
    return;
  }
  for (Block* b : device_state->resident) describe_waiting(b);
  abort_launch();
}

void abort_launch() {
  device_state->aborted = true;
  to_main();
  std::abort();  // nobody resumes an aborted launch
}

void block_barrier(Site site) {
  step();
  Thread* t = current_thread;
  Block* b = t->block;
  if (b->live != static_cast<int>(b->threads.size())) {
    find(finding_of(t, "divergent barrier", "__syncthreads after a thread has returned", site));
    abort_launch();
  }
  if (b->arrived == 0) b->barrier_site = site;
  if (b->barrier_site.line != site.line || b->barrier_site.file != site.file) {
    find(finding_of(t, "divergent barrier",
                    "others wait at line " + std::to_string(b->barrier_site.line), site));
    abort_launch();
  }
  if (++b->arrived < b->live) {
    t->at_barrier = true;
    wait_for_others();
    return;
  }
  b->arrived = 0;
  b->barrier_time = ++device_state->time;
  for (Thread& other : b->threads) {
    other.at_barrier = false;
    make_runnable(&other, true);
  }
  reschedule();
}

void* shared_memory() { return current_thread->block->shared->begin; }

uint3 thread_index() { return current_thread->place; }
uint3 block_index() { return current_thread->block->index; }
dim3 block_size() { return device_state->block; }
dim3 grid_size() { return device_state->grid; }

void launch(const LaunchShape& shape, void (*call)(const void*), const void* parameters,
            std::size_t parameter_bytes, const void* kernel) {
  if (device_state == nullptr) throw std::logic_error("a kernel is launched without a Device");
  State& s = *device_state;
  const std::string broken = limits_broken(shape);
  if (!broken.empty()) {
    RawFinding f;
    f.kind = "launch";
    f.detail = broken;
    f.code = code_of(kernel);
    find(std::move(f));
  } else {
    s.launches.push_back({shape.grid.x, shape.grid.y, shape.grid.z,
                          shape.block.x * shape.block.y * shape.block.z, shape.shared_bytes});
    s.call = call;
    s.parameters = static_cast<const char*>(parameters);
    s.parameter_bytes = parameter_bytes;
    s.grid = shape.grid;
    s.block = shape.block;
    s.shared_bytes = shape.shared_bytes;
    s.launch_time = s.time;
    s.steps = 0;
    s.aborted = false;
    s.resident.clear();
    restart_countdown(s);
    run_blocks(s);
    s.launch_time = s.time;
  }
  put_into_words(s);
}

}  // namespace gtrain::simt
