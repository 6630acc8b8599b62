// Counts what warps ask of memory. The n-th time each lane of a warp passes an instruction is one
// request, wherever the lanes were interrupted.
#include <algorithm>
#include <cstdio>

#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

constexpr std::uint64_t kSector = 32;

void count_sectors(const Request& r, Traffic& t) {
  std::vector<std::uint64_t> sectors;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
  for (int lane = 0; lane < 32; ++lane) {
    if ((r.lanes >> lane & 1) == 0) continue;
    const std::uint64_t from = r.address[lane], to = from + r.bytes;
    for (std::uint64_t s = from / kSector; s <= (to - 1) / kSector; ++s) sectors.push_back(s);
    spans.emplace_back(from, to);
  }
  std::sort(sectors.begin(), sectors.end());
  std::sort(spans.begin(), spans.end());
  std::uint64_t bytes = 0, end = 0;
  for (const auto& [from, to] : spans) {
    bytes += to - std::max(from, std::min(end, to));
    end = std::max(end, to);
  }
  ++t.requests;
  t.sectors +=
      static_cast<std::uint64_t>(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
  t.ideal += (bytes + kSector - 1) / kSector;
}

// Lanes that go together: all of a warp, 16 of 8 bytes, 8 of 16 bytes.
void count_wavefronts(const Request& r, Banks& banks) {
  const int together = r.bytes > 8 ? 8 : r.bytes > 4 ? 16 : 32;
  ++banks.requests;
  for (int first = 0; first < 32; first += together) {
    std::vector<std::uint64_t> words;
    for (int lane = first; lane < first + together; ++lane) {
      if ((r.lanes >> lane & 1) == 0) continue;
      for (std::uint64_t w = r.address[lane] / 4; w <= (r.address[lane] + r.bytes - 1) / 4; ++w)
        words.push_back(w);
    }
    if (words.empty()) continue;
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::uint64_t in_bank[32] = {};
    for (const std::uint64_t w : words) ++in_bank[w % 32];
    banks.wavefronts += *std::max_element(in_bank, in_bank + 32);
    ++banks.ideal;
  }
}

void add(Traffic& to, const Traffic& from) {
  to.requests += from.requests;
  to.sectors += from.sectors;
  to.ideal += from.ideal;
}

void add(Banks& to, const Banks& from) {
  to.requests += from.requests;
  to.wavefronts += from.wavefronts;
  to.ideal += from.ideal;
}

}  // namespace

void record_request(Thread* t, Region* region, const void* p, int bytes, bool store, Code code) {
  SiteLog& log = t->warp->log[code];
  log.region = region;
  log.store = store;
  const std::uint32_t n = log.count[t->lane]++;
  if (log.requests.size() <= n) log.requests.resize(n + 1);
  Request& r = log.requests[n];
  r.lanes |= 1u << t->lane;
  r.bytes = std::max(r.bytes, static_cast<std::uint32_t>(bytes));
  r.address[t->lane] = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(p)) -
                       reinterpret_cast<std::uintptr_t>(arena());
}

void collect_requests(Block* block) {
  State& s = *device_state;
  for (Warp& w : block->warps) {
    for (const auto& [code, log] : w.log) {
      SiteTotal total;
      for (const Request& r : log.requests) {
        if (log.region->shared) {
          count_wavefronts(r, total.banks);
        } else {
          count_sectors(r, total.traffic);
        }
      }
      SiteTotal& site = s.sites[{code, log.region->shared ? nullptr : log.region, log.store}];
      add(site.traffic, total.traffic);
      add(site.banks, total.banks);
      add(s.banks, total.banks);
      add(log.store ? log.region->stores : log.region->loads, total.traffic);
    }
    w.log.clear();
  }
}

std::string Device::traffic_report() const {
  std::string out;
  char line[400];
  for (const auto& [key, total] : state_->sites) {
    const auto& [code, region, store] = key;
    const bool shared = region == nullptr;
    std::snprintf(
        line, sizeof(line), "%s: %s %s, %llu requests, %llu %s, ideally %llu\n",
        source_line(code).c_str(), store ? "store to" : "load of",
        shared ? "shared memory" : region->name.c_str(),
        static_cast<unsigned long long>(shared ? total.banks.requests : total.traffic.requests),
        static_cast<unsigned long long>(shared ? total.banks.wavefronts : total.traffic.sectors),
        shared ? "wavefronts" : "sectors",
        static_cast<unsigned long long>(shared ? total.banks.ideal : total.traffic.ideal));
    out += line;
  }
  return out;
}

}  // namespace gtrain::simt
