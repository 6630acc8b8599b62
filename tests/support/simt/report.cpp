// Device: sets a schedule up, owns the buffers, and puts findings into words.
#include <link.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "support/simt/device.h"
#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

constexpr std::size_t kPage = 4096, kGuard = 16 * kPage;
constexpr std::size_t kSharedSpan = 256 * 1024;
constexpr std::size_t kMostFindings = 40;

std::uintptr_t load_address() {
  static const std::uintptr_t base = [] {
    std::uintptr_t found = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* out) {
          *static_cast<std::uintptr_t*>(out) = info->dlpi_addr;
          return 1;  // the first is the program
        },
        &found);
    return found;
  }();
  return base;
}

std::string last_part(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string thread_name(const State& s, std::uint32_t block, std::uint32_t thread) {
  char text[120];
  std::snprintf(text, sizeof(text), "block (%u, %u, %u) thread (%u, %u, %u)", block % s.grid.x,
                block / s.grid.x % s.grid.y, block / s.grid.x / s.grid.y, thread % s.block.x,
                thread / s.block.x % s.block.y, thread / s.block.x / s.block.y);
  return text;
}

std::string place_of(const RawFinding& f) {
  if (f.site.line != 0) return last_part(f.site.file) + ":" + std::to_string(f.site.line);
  return f.code != 0 ? source_line(f.code) : "?";
}

void choose_schedule(State& s) {
  static const Order kOrders[] = {Order::kUp, Order::kDown, Order::kStarved, Order::kRandom};
  s.order = kOrders[s.seed < 3 ? s.seed : (s.seed % 4 == 2 ? 2 : 3)];
  s.truncating = s.seed % 2 == 1;
  s.resident_limit = s.seed < 2 ? 1 : 1 + static_cast<int>(s.random.below(kMaxResident));
  static const std::uint32_t kEvery[] = {4, 16, 64, 256};
  s.switch_every = s.seed < 2 ? 0 : kEvery[s.random.below(4)];
}

}  // namespace

Code code_of(const void* address) {
  return static_cast<Code>(reinterpret_cast<std::uintptr_t>(address) - load_address());
}

// file:line of the code before a return address, and of the functions it was inlined into.
std::string source_line(Code code) {
  static std::map<Code, std::string> known;
  auto [entry, is_new] = known.try_emplace(code);
  if (!is_new) return entry->second;
  char command[100], line[500];
  std::snprintf(command, sizeof(command), "addr2line -i -e /proc/%d/exe 0x%x 2>/dev/null",
                static_cast<int>(getpid()), code - 1);
  std::string text;
  if (FILE* pipe = popen(command, "r")) {
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      std::string frame = last_part(line);
      frame = frame.substr(0, frame.find_first_of(" \n"));
      const bool ours = frame.rfind("device_host.h", 0) != 0 && frame.rfind("simt.h", 0) != 0 &&
                        frame.rfind("tuple", 0) != 0 && frame.rfind("invoke.h", 0) != 0;
      if (ours) text += (text.empty() ? "" : " < ") + frame;
    }
    pclose(pipe);
  }
  return entry->second = text.empty() ? "?" : text;
}

RawFinding finding_of(const Thread* thread, const char* kind, std::string detail, Code code) {
  RawFinding f;
  f.kind = kind;
  f.detail = std::move(detail);
  f.has_thread = true;
  f.block = thread->block->linear;
  f.thread = thread->index;
  f.code = code;
  return f;
}

RawFinding finding_of(const Thread* thread, const char* kind, std::string detail, Site site) {
  RawFinding f = finding_of(thread, kind, std::move(detail), Code{0});
  f.site = site;
  return f;
}

// The first of each kind and place.
void find(RawFinding f) {
  State& s = *device_state;
  const Code other = f.has_other ? f.other.code : 0;
  if (s.seen[{f.kind, f.code, other, f.site.line}]++ == 0 && s.raw.size() < kMostFindings) {
    s.raw.push_back(std::move(f));
  }
}

void put_into_words(State& s) {
  for (const RawFinding& f : s.raw) {
    std::string text = place_of(f) + ": " + f.kind + ": " + f.detail;
    if (f.has_thread) text += ", " + thread_name(s, f.block, f.thread);
    if (f.has_other) {
      text += std::string("; against the ") +
              (f.other.atomic  ? "atomic"
               : f.other_store ? "store"
                               : "load") +
              " of " + thread_name(s, f.other.block, f.other.thread) + " at " +
              source_line(f.other.code);
    }
    s.findings.push_back({f.kind, text});
  }
  s.raw.clear();
}

Region* shared_region(int slot) {
  return device_state->regions[static_cast<std::size_t>(slot) + 1];
}

Device::Device(std::uint64_t seed, DeviceOptions options) : state_(new State{}) {
  if (device_state != nullptr) throw std::logic_error("one Device exists at a time");
  State& s = *state_;
  device_state = &s;
  s.seed = seed;
  s.options = options;
  s.random.state = seed * 0x2545f4914f6cdd1dULL + 17;
  choose_schedule(s);
  s.regions.push_back(nullptr);
  for (int slot = 0; slot < kMaxResident; ++slot) {
    auto* region = new Region;
    region->name = "shared memory";
    region->begin = arena() + static_cast<std::size_t>(slot) * 2 * kSharedSpan;
    region->bytes = kSharedSpan;
    region->shared = true;
    region->slot = slot;
    // Fine cells keep the two halves of a word apart, coarse ones are faster.
    region->shift = seed % 2 == 0 ? 2 : 1;
    map_region(region, true);
    region->bytes = 0;
  }
  s.arena_used = kMaxResident * 2 * kSharedSpan;
}

Device::~Device() {
  for (Region* region : state_->regions) {
    if (region == nullptr) continue;
    if (region->shared) region->bytes = kSharedSpan;
    map_region(region, false);
    delete region;
  }
  device_state = nullptr;
}

Region* Device::add_region(std::size_t bytes, std::size_t element, std::string name,
                           bool read_only) {
  State& s = *state_;
  auto* region = new Region;
  region->name = std::move(name);
  region->bytes = bytes;
  region->element = element;
  region->read_only = read_only;
  region->shift = element == 1 ? 0 : element == 2 ? 1 : 2;
  region->begin = arena() + s.arena_used + kGuard;
  s.arena_used += kGuard + (bytes + kPage - 1) / kPage * kPage + s.random.below(4) * kPage;
  map_region(region, true);
  if (bytes > 0) std::memset(region->begin, 0xff, bytes);
  if (!read_only) {
    const std::size_t cells = (bytes + 3) >> region->shift;
    region->cells.resize(cells);
    region->state.assign(cells, 0);
  }
  return region;
}

void* Device::region_data(const Region* region) { return region->begin; }

void Device::fill_region(Region* region, const void* from, std::size_t bytes) {
  if (bytes != region->bytes) throw std::logic_error("a buffer is filled with another size");
  if (bytes > 0) std::memcpy(region->begin, from, bytes);
  std::fill(region->state.begin(), region->state.end(), std::uint8_t{0xf});
}

void Device::expect_written(const Region* region) const {
  if (region->read_only) return;
  for (std::size_t at = 0; at < region->bytes; ++at) {
    const std::size_t low = at & ((std::size_t{1} << region->shift) - 1);
    if ((region->state[at >> region->shift] >> low & 1) != 0) continue;
    RawFinding f;
    f.kind = "uninitialised";
    f.detail = "element " + std::to_string(at / region->element) + " of " + region->name +
               " was never written";
    find(std::move(f));
    put_into_words(*state_);
    return;
  }
}

std::uint64_t Device::seed() const { return state_->seed; }
const std::vector<Finding>& Device::findings() const { return state_->findings; }
void PrintTo(const Launch& launch, std::ostream* out) {
  *out << launch.x << " x " << launch.y << " x " << launch.z << " blocks of " << launch.threads
       << " threads and " << launch.shared_bytes << " bytes";
}

Banks Device::banks() const { return state_->banks; }
const std::vector<Launch>& Device::launches() const { return state_->launches; }

Traffic Device::traffic(const Region* region, bool stores) const {
  return stores ? region->stores : region->loads;
}

std::string Device::report() const {
  std::string out;
  for (const Finding& f : state_->findings) out += f.message + "\n";
  return out;
}

}  // namespace gtrain::simt
