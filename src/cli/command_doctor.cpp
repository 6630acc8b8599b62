#include <fmt/format.h>
#include <sys/utsname.h>
#include <tbb/version.h>
#include <torch/version.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "gtrain/base/resource.h"
#include "gtrain/cli/command.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/data/catalog.h"

namespace gtrain::cli {

namespace {

namespace fs = std::filesystem;

// Value of "key : value" in a file of /proc; empty where there is none.
std::string value_in(const char* file, const std::string& key) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t colon = line.find(':');
    const std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? std::string() : line.substr(start);
  }
  return {};
}

std::string instruction_sets() {
  const std::string flags = " " + value_in("/proc/cpuinfo", "flags") + " ";
  std::string out;
  for (const char* name : {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw",
                           "avx512vl", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(fmt::format(" {} ", name)) != std::string::npos) out += std::string(" ") + name;
  }
  return out.empty() ? "unknown" : out.substr(1);
}

std::string gibibytes(double bytes) { return fmt::format("{:.1f} GiB", bytes / (1 << 30)); }

std::string memory() {
  const auto kibibytes = [](const char* key) {
    return std::strtod(value_in("/proc/meminfo", key).c_str(), nullptr) * 1024;
  };
  std::string out = fmt::format("{} total, {} available", gibibytes(kibibytes("MemTotal")),
                                gibibytes(kibibytes("MemAvailable")));
  std::ifstream group("/sys/fs/cgroup/memory.max");
  double limit = 0;
  if (group >> limit) out += ", limited to " + gibibytes(limit);
  return out;
}

std::set<fs::path> mapped_files() {
  std::ifstream maps("/proc/self/maps");
  std::set<fs::path> files;
  std::string line;
  while (std::getline(maps, line)) {
    const std::size_t slash = line.find('/');
    if (slash != std::string::npos) files.insert(line.substr(slash));
  }
  return files;
}

// Where libtorch came from; empty where it is part of the program.
std::string torch_folder() {
  for (const fs::path& file : mapped_files()) {
    if (file.filename() == "libtorch_cpu.so") return " from " + file.parent_path().string();
  }
  return {};
}

// The libraries in use, by the names of their files, which carry the versions.
std::string libraries() {
  std::set<std::string> names;
  for (const fs::path& file : mapped_files()) {
    const std::string name = file.filename().string();
    for (const char* wanted : {"libhdf5", "libyaml-cpp", "libtbb.", "libz."}) {
      if (name.rfind(wanted, 0) == 0) names.insert(name);
    }
  }
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string folder(const fs::path& path) {
  std::error_code error;
  fs::path existing = fs::absolute(path);
  while (!fs::exists(existing, error) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  const bool writable = ::access(existing.c_str(), W_OK) == 0;
  const fs::space_info space = fs::space(existing, error);
  return fmt::format("{}{}, {}{}", path.string(), fs::exists(path, error) ? "" : " (not there yet)",
                     writable ? "writable" : "NOT writable",
                     error ? "" : ", " + gibibytes(static_cast<double>(space.available)) + " free");
}

std::string system_name() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

}  // namespace

std::string doctor_text(const std::string& version) {
  std::ostringstream out;
  const auto line = [&](const char* key, const std::string& value) {
    out << fmt::format("{:<10} {}\n", key, value);
  };
  line("gtrain", version);
  line("torch", TORCH_VERSION + torch_folder());
  line("tbb", fmt::format("{} (built with {})", TBB_runtime_version(), TBB_VERSION_STRING));
  line("compiler", __VERSION__);
  line("libraries", libraries());
  line("system", system_name());
  line("processor", value_in("/proc/cpuinfo", "model name"));
  line("features", instruction_sets());
  line("threads", fmt::format("{} of {} processors may be used", available_threads(),
                              std::thread::hardware_concurrency()));
  line("memory", memory());
#ifdef GTRAIN_CUDA
  line("cuda", "kernels for sm_80, sm_90 and PTX; training runs on the CPU");
#else
  line("cuda", "not in this build");
#endif
  line("shipped", base::resource_root().string());
  line("cache", folder(data::cache_folder()));
  line("runs", folder(fs::current_path()));
  const char* set = std::getenv("GTRAIN_DATA");
  line("GTRAIN_DATA", set == nullptr ? "not set" : set);
  for (const fs::path& path : data::dataset_folders()) line("data in", path.string());
  return out.str();
}

void add_doctor_command(CLI::App& program, const Session& session) {
  program
      .add_subcommand("doctor", "versions, processor, memory and folders, to paste into a report")
      ->callback([&session] { std::cout << doctor_text(session.version); });
}

}  // namespace gtrain::cli
