#include "gtrain/cli/memory_limit.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace gtrain::cli {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::uint64_t number_in(const std::string& path) {
  std::uint64_t bytes = 0;
  return std::ifstream(path) >> bytes ? bytes : kUnlimited;  // "max" is no number
}

// Version 2: a group and all above it limit.
std::uint64_t memory_of_control_group(std::uint64_t machine_swap) {
  std::ifstream groups("/proc/self/cgroup");
  std::uint64_t least = kUnlimited;
  for (std::string line; std::getline(groups, line);) {
    if (line.rfind("0::/", 0) != 0) continue;
    for (std::string group = line.substr(3); !group.empty();
         group.resize(group.find_last_of('/'))) {
      const std::string folder = "/sys/fs/cgroup" + group;
      const std::uint64_t ram = number_in(folder + "/memory.max");
      const std::uint64_t swap = number_in(folder + "/memory.swap.max");
      if (ram != kUnlimited) least = std::min(least, ram + std::min(swap, machine_swap));
    }
  }
  return least;
}

}  // namespace

std::uint64_t memory_of_machine() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return kUnlimited;
  const std::uint64_t ram = std::uint64_t{info.totalram} * info.mem_unit;
  const std::uint64_t swap = std::uint64_t{info.totalswap} * info.mem_unit;
  return std::min(ram + swap, memory_of_control_group(swap));
}

void limit_memory(std::uint64_t bytes) {
  rlimit limit{};
  if (kSanitized || ::getrlimit(RLIMIT_DATA, &limit) != 0 || limit.rlim_cur <= bytes) return;
  limit.rlim_cur = bytes;
  ::setrlimit(RLIMIT_DATA, &limit);
}

}  // namespace gtrain::cli
