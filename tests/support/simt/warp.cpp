// Collective calls of a warp: lanes meet at (call, site, mask); the last to come does the work for
// all. Shuffles and votes move registers only; __syncwarp alone orders memory.
#include <algorithm>
#include <cstdio>

#include "ops/cuda/device.cuh"
#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

std::string hex(unsigned mask) {
  char text[12];
  std::snprintf(text, sizeof(text), "0x%08x", mask);
  return text;
}

[[noreturn]] void fatal(const char* kind, std::string detail, Site site) {
  find(finding_of(current_thread, kind, std::move(detail), site));
  abort_launch();
}

Group& group_for(Warp& w, Meeting meeting, unsigned mask, Site site) {
  for (int i = 0; i < w.group_count; ++i) {
    Group& g = w.groups[i];
    if (g.meeting == meeting && g.mask == mask && g.site.line == site.line &&
        g.site.file == site.file) {
      return g;
    }
  }
  return w.groups[w.group_count++] = Group{meeting, site, mask, 0};
}

// Returns once every lane of the mask has come; work(warp, lanes) has then run, once for all.
template <class Work>
void meet(Meeting meeting, unsigned mask, Site site, Work work) {
  step();
  Thread* t = current_thread;
  Warp& w = *t->warp;
  const unsigned lane = 1u << t->lane;
  if ((mask & lane) == 0) fatal("absent lane", "the caller is not in the mask " + hex(mask), site);
  const unsigned lanes = mask & w.present;
  if ((lanes & w.exited) != 0) {
    fatal("absent lane", "lanes " + hex(lanes & w.exited) + " of the mask have returned", site);
  }
  Group& g = group_for(w, meeting, mask, site);
  g.arrived |= lane;
  if (g.arrived != lanes) {
    wait_for_others();
    return;
  }
  g = w.groups[--w.group_count];
  work(w, lanes);
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    make_runnable(&w.threads[__builtin_ctz(rest)], true);
  }
}

Offer& own_offer() { return current_thread->warp->offers[current_thread->lane]; }

// The lane that `lane` reads from, as PTX shfl defines it; its own where that is out of range.
int source_lane(const Offer& o, int lane) {
  const int segment = 32 - o.width, low = lane & segment, high = low | (31 & ~segment);
  const int by = o.operand & 31;
  switch (static_cast<Shuffle>(o.kind)) {
    case Shuffle::kIndex:
      return low | (by & ~segment);
    case Shuffle::kXor:
      return (lane ^ by) <= high ? lane ^ by : lane;
    case Shuffle::kUp:
      return lane - by >= low ? lane - by : lane;
    case Shuffle::kDown:
      break;
  }
  return lane + by <= high ? lane + by : lane;
}

void exchange(Warp& w, unsigned lanes, Site site) {
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    Offer& o = w.offers[lane];
    const int source = source_lane(o, lane);
    if ((lanes >> source & 1) != 0) {
      o.result = w.offers[source].value;
      continue;
    }
    o.result = 0xffffffffffffffffULL;
    find(finding_of(&w.threads[lane], "absent lane",
                    "shuffle from lane " + std::to_string(source) + ", not in " + hex(lanes),
                    site));
  }
}

unsigned vote_result(const Warp& w, unsigned lanes, const Offer& own) {
  unsigned result = 0;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    const std::uint64_t value = w.offers[lane].value;
    switch (static_cast<Vote>(own.kind)) {
      case Vote::kBallot:
      case Vote::kAny:
      case Vote::kAll:
        result |= value != 0 ? 1u << lane : 0;
        break;
      case Vote::kMatchAny:
        result |= value == own.value ? 1u << lane : 0;
        break;
      case Vote::kAdd:
        result += static_cast<unsigned>(value);
        break;
      case Vote::kOr:
        result |= static_cast<unsigned>(value);
        break;
    }
  }
  return static_cast<Vote>(own.kind) == Vote::kAll ? result == lanes : result;
}

void join_clocks(Warp& w, unsigned lanes) {
  const std::uint32_t now = ++device_state->time;
  std::uint32_t joined[32] = {};
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const auto& row = w.clock[__builtin_ctz(rest)];
    for (int i = 0; i < 32; ++i) joined[i] = std::max(joined[i], row[i]);
  }
  for (int i = 0; i < 32; ++i) joined[i] = (lanes >> i & 1) != 0 ? now : joined[i];
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    std::copy(std::begin(joined), std::end(joined), w.clock[__builtin_ctz(rest)]);
  }
}

std::string name_of(Meeting meeting) {
  switch (meeting) {
    case Meeting::kBarrier:
      return "__syncwarp";
    case Meeting::kShuffle:
      return "a shuffle";
    case Meeting::kVote:
      return "a vote";
    case Meeting::kMultiply:
      return "mma";
    case Meeting::kLoadMatrix:
      break;
  }
  return "ldmatrix";
}

}  // namespace

// Nobody can run: says who waits for whom.
void describe_waiting(Block* block) {
  if (block->live == 0) return;
  for (const Warp& w : block->warps) {
    for (int i = 0; i < w.group_count; ++i) {
      const Group& g = w.groups[i];
      find(finding_of(&w.threads[__builtin_ctz(g.arrived)], "absent lane",
                      name_of(g.meeting) + " of mask " + hex(g.mask) + " was reached by " +
                          hex(g.arrived) + " only",
                      g.site));
    }
  }
  for (const Thread& t : block->threads) {
    if (!t.at_barrier || t.exited) continue;
    find(finding_of(&t, "divergent barrier",
                    "__syncthreads was reached by " + std::to_string(block->arrived) + " of " +
                        std::to_string(block->threads.size()) + " threads",
                    block->barrier_site));
    break;
  }
}

void meet_warp(Meeting meeting, Site site, const std::function<void(Warp&)>& work) {
  meet(meeting, 0xffffffffu, site, [&work](Warp& w, unsigned) { work(w); });
}

void warp_barrier(unsigned mask, Site site) {
  meet(Meeting::kBarrier, mask, site, [](Warp& w, unsigned lanes) { join_clocks(w, lanes); });
}

std::uint64_t shuffle(Shuffle kind, unsigned mask, std::uint64_t value, int operand, int width,
                      Site site) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fatal("absent lane", "a shuffle of width " + std::to_string(width), site);
  }
  Offer& o = own_offer();
  o.value = value;
  o.operand = operand;
  o.width = width;
  o.kind = static_cast<int>(kind);
  meet(Meeting::kShuffle, mask, site,
       [site](Warp& w, unsigned lanes) { exchange(w, lanes, site); });
  return o.result;
}

unsigned vote(Vote kind, unsigned mask, std::uint64_t value, Site site) {
  Offer& o = own_offer();
  o.value = value;
  o.kind = static_cast<int>(kind);
  meet(Meeting::kVote, mask, site, [](Warp& w, unsigned lanes) {
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      Offer& each = w.offers[__builtin_ctz(rest)];
      each.result = vote_result(w, lanes, each);
    }
  });
  return static_cast<unsigned>(o.result);
}

}  // namespace gtrain::simt
