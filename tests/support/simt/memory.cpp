// Regions, bounds, and the shadow cells that find races and uninitialised reads.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "support/simt/state.h"

extern const char __executable_start, _end;

namespace gtrain::simt {

namespace {

constexpr std::size_t kPage = 4096, kArenaBytes = std::size_t{4} << 30;

char* arena_base = nullptr;
std::uint16_t* region_of_page = nullptr;

void* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();
  return p;
}

bool readable_elsewhere(const char* p, int bytes) {
  const State& s = *device_state;
  if (p >= s.parameters && p + bytes <= s.parameters + s.parameter_bytes) return true;
  return p >= &__executable_start && p + bytes <= &_end;
}

std::string where(const Region* region, const char* p, int bytes) {
  char text[160];
  const long long offset = p - region->begin;
  std::snprintf(text, sizeof(text), "%d bytes at byte %lld of %s (%zu bytes, element %lld)", bytes,
                offset, region->name.c_str(), region->bytes,
                offset / static_cast<long long>(region->element));
  return text;
}

// The region whose bounds p may have left: the nearest one below.
std::string near(const char* p) {
  const Region* best = nullptr;
  for (const Region* region : device_state->regions) {
    if (region != nullptr && region->begin <= p && (best == nullptr || best->begin < region->begin))
      best = region;
  }
  const std::size_t offset = static_cast<std::size_t>(p - arena_base);
  if (best == nullptr || offset >= kArenaBytes) return "an address that is no device memory";
  char text[120];
  std::snprintf(text, sizeof(text), "%zu bytes after the start of %s (%zu bytes)",
                static_cast<std::size_t>(p - best->begin), best->name.c_str(), best->bytes);
  return text;
}

[[noreturn]] void fatal(Thread* thread, const char* kind, std::string detail, Code code) {
  find(finding_of(thread, kind, std::move(detail), code));
  abort_launch();
}

void race(Thread* thread, const Region* region, const char* p, int bytes, Kind kind,
          const Access& other, bool other_store, Code code) {
  RawFinding f = finding_of(thread, "race", "", code);
  f.detail = std::string(kind == Kind::kStore    ? "store to "
                         : kind == Kind::kAtomic ? "atomic on "
                                                 : "load of ") +
             where(region, p, bytes);
  f.has_other = true;
  f.other = other;
  f.other_store = other_store;
  find(std::move(f));
}

// Remembers a reader; of two that must go, one of another block or warp is kept.
inline void remember_reader(Cell& cell, const Access& a) {
  Access& first = cell.read[0];
  if (first.time == 0 || (first.thread == a.thread && first.block == a.block)) {
    first = a;
    return;
  }
  const bool neighbour = first.block == a.block && first.thread / 32 == a.thread / 32;
  const Access& second = cell.read[1];
  if (!neighbour || second.time <= device_state->launch_time ||
      (second.block == first.block && second.thread / 32 == first.thread / 32)) {
    cell.read[1] = first;
  }
  first = a;
}

// Shared memory has seen only blocks that had ended before this one began.
inline bool ordered(const Access& before, const Thread* thread, bool shared) {
  if (before.time <= device_state->launch_time) return true;
  if (shared && before.time <= thread->block->barrier_time) return true;
  if (before.block != thread->block->linear) return false;
  if (before.thread == thread->index || before.time <= thread->block->barrier_time) return true;
  if (before.thread / 32 != thread->index / 32) return false;
  return before.time <= thread->warp->clock[thread->lane][before.thread % 32];
}

struct Racer {
  Thread* thread;
  Region* region;
  const char* p;
  int bytes;
  Kind kind;
  Code code;
};

inline void check_cell(const Racer& r, Cell& cell, const Access& now) {
  const bool writes = r.kind == Kind::kStore || r.kind == Kind::kAtomic;
  const Access& w = cell.write;
  if ((w.bytes & now.bytes) != 0 && !(w.atomic && now.atomic) &&
      !ordered(w, r.thread, r.region->shared)) {
    race(r.thread, r.region, r.p, r.bytes, r.kind, w, true, r.code);
  }
  if (r.kind == Kind::kReadOnlyLoad && w.time > device_state->launch_time) {
    find(finding_of(r.thread, "read-only load",
                    "of what this launch wrote: " + where(r.region, r.p, r.bytes), r.code));
  }
  if (!writes) {
    remember_reader(cell, now);
    return;
  }
  for (const Access& read : cell.read) {
    if ((read.bytes & now.bytes) != 0 && !(read.atomic && now.atomic) &&
        !ordered(read, r.thread, r.region->shared)) {
      race(r.thread, r.region, r.p, r.bytes, r.kind, read, false, r.code);
    }
  }
  cell.write = now;
}

inline void check_state(const Racer& r, std::uint8_t& state, std::uint8_t mask) {
  if ((state & kPendingCopy) != 0) {
    find(finding_of(r.thread, "cp.async",
                    "touched before the copy was waited for: " + where(r.region, r.p, r.bytes),
                    r.code));
  } else if (r.kind != Kind::kStore && (state & mask) != mask) {
    find(finding_of(r.thread, "uninitialised", where(r.region, r.p, r.bytes), r.code));
    state |= mask;  // once is enough
  }
  if (r.kind == Kind::kStore) state |= mask;
}

}  // namespace

char* arena() {
  if (arena_base == nullptr) {
    arena_base = static_cast<char*>(reserve(kArenaBytes));
    region_of_page = static_cast<std::uint16_t*>(reserve(kArenaBytes / kPage * 2));
  }
  return arena_base;
}

Region* region_at(const void* p) {
  const std::size_t offset = static_cast<std::size_t>(static_cast<const char*>(p) - arena_base);
  if (offset >= kArenaBytes) return nullptr;
  return device_state->regions[region_of_page[offset / kPage]];
}

void map_region(Region* region, bool mapped) {
  const std::size_t first = static_cast<std::size_t>(region->begin - arena_base) / kPage;
  const std::size_t pages = (region->bytes + kPage - 1) / kPage;
  std::uint16_t index = 0;
  if (mapped) {
    index = static_cast<std::uint16_t>(device_state->regions.size());
    device_state->regions.push_back(region);
  }
  for (std::size_t i = 0; i < pages; ++i) region_of_page[first + i] = index;
}

void check_access(Thread* thread, const void* address, int bytes, Kind kind, bool aligned,
                  Code code) {
  const char* p = static_cast<const char*>(address);
  const bool writes = kind == Kind::kStore || kind == Kind::kAtomic;
  Region* region = region_at(p);
  if (region == nullptr && !writes && readable_elsewhere(p, bytes)) return;
  if (aligned && (reinterpret_cast<std::uintptr_t>(p) & static_cast<unsigned>(bytes - 1)) != 0) {
    fatal(thread, "misaligned",
          region != nullptr ? where(region, p, bytes) : std::string("outside of every buffer"),
          code);
  }
  if (region == nullptr || p + bytes > region->begin + region->bytes) {
    fatal(thread, "out of bounds",
          std::string(writes ? "store of " : "load of ") + std::to_string(bytes) + " bytes, " +
              near(p),
          code);
  }
  if (region->shared && region->slot != thread->block->slot) {
    fatal(thread, "out of bounds", "the shared memory of another block", code);
  }
  if (writes && region->read_only) {
    fatal(thread, "store to an input", where(region, p, bytes), code);
  }
  if (device_state->options.measure) {
    record_request(thread, region, p, bytes, writes, code);
  }
  if (region->read_only) return;

  Access now{
      ++device_state->time, thread->block->linear, thread->index, 0, kind == Kind::kAtomic, code};
  const Racer racer{thread, region, p, bytes, kind, code};
  const std::size_t offset = static_cast<std::size_t>(p - region->begin);
  const std::size_t grain = std::size_t{1} << region->shift;
  for (std::size_t at = offset; at < offset + static_cast<std::size_t>(bytes);) {
    const std::size_t i = at >> region->shift, low = at & (grain - 1);
    const std::size_t count = std::min(grain - low, offset + static_cast<std::size_t>(bytes) - at);
    now.bytes = static_cast<std::uint8_t>(((1u << count) - 1) << low);
    check_cell(racer, region->cells[i], now);
    check_state(racer, region->state[i], now.bytes);
    at += count;
  }
}

void access(const void* p, int bytes, Kind kind, bool aligned, const void* code) {
  step();
  check_access(current_thread, p, bytes, kind, aligned, code_of(code));
}

Region* expect_space(const void* p, bool shared, const char* what, const void* code) {
  Region* region = region_at(p);
  if (region != nullptr && region->shared != shared) {
    fatal(current_thread, "wrong space",
          std::string(what) + " expects " + (shared ? "shared" : "global") + " memory",
          code_of(code));
  }
  return region;
}

}  // namespace gtrain::simt
