#include "gtrain/train/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <system_error>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

std::string flat(std::string name) {
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

// n of "<name>-<n>"; 0 when the file name is no such.
std::int64_t number_of(const std::string& file, const std::string& name) {
  if (!file.starts_with(name + "-")) return 0;
  std::int64_t n = 0;
  const char* end = file.data() + file.size();
  const auto parsed = std::from_chars(file.data() + name.size() + 1, end, n);
  return parsed.ec == std::errc{} && parsed.ptr == end ? n : 0;
}

[[noreturn]] void refuse(const fs::path& path, const char* what) {
  throw base::ResourceError(fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)));
}

std::string holder() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::array<char, 32> when{};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::strftime(when.data(), when.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return fmt::format("process {} on {} since {}", ::getpid(), host.data(), when.data());
}

std::string first_bytes(int descriptor) {
  std::array<char, 512> text{};
  const ssize_t n = ::pread(descriptor, text.data(), text.size() - 1, 0);
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : "another process";
}

}  // namespace

fs::path newest_run_directory(const fs::path& parent, const std::string& name) {
  std::int64_t newest = 0;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(parent, missing)) {
    newest = std::max(newest, number_of(entry.path().filename().string(), flat(name)));
  }
  return newest > 0 ? parent / fmt::format("{}-{}", flat(name), newest) : fs::path{};
}

fs::path new_run_directory(const fs::path& parent, const std::string& name) {
  base::make_directory(parent);
  for (std::int64_t n = 1;; ++n) {
    const fs::path path = parent / fmt::format("{}-{}", flat(name), n);
    std::error_code failed;
    if (fs::create_directory(path, failed)) return path;  // atomic: one of two processes gets it
    if (failed) {
      throw base::ResourceError(
          fmt::format("{}: cannot be created: {}", path.string(), failed.message()));
    }
  }
}

bool holds_state(const std::filesystem::path& directory) {
  return std::filesystem::exists(directory / "last.safetensors") ||
         std::filesystem::exists(directory / "last.previous.safetensors");
}

void check_output(const std::filesystem::path& out) {
  std::error_code error;
  const std::filesystem::path file = std::filesystem::weakly_canonical(out, error);
  // What has no place in a directory, such as a pipe, is no file of a run.
  if (error || !std::filesystem::exists(file.parent_path() / "recipe.yaml", error)) return;
  for (const char* name :
       {"recipe.yaml", "metrics.jsonl", "result.json", "summary.json", "last.safetensors",
        "last.previous.safetensors", "best.safetensors", "report.html", "log.txt", ".lock",
        "redundancy.json", "budget.json", "prune.json", "inference.json"}) {
    if (file.filename() != name) continue;
    throw base::RecipeError(
        fmt::format("--out {}: is the run's own {}; expected another name", out.string(), name));
  }
}

RunLock::RunLock(const fs::path& directory) {
  const fs::path path = directory / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0) refuse(path, "cannot be opened");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const bool busy = errno == EWOULDBLOCK;
    const std::string who = first_bytes(descriptor_);
    ::close(descriptor_);
    if (!busy) refuse(path, "cannot be locked");
    throw base::InUseError(
        fmt::format("{}: in use by {}; wait for it or choose another --run directory",
                    directory.string(), who));
  }
  const std::string text = holder();
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    ::close(descriptor_);
    refuse(path, "cannot be written");
  }
}

RunLock::~RunLock() { ::close(descriptor_); }

MetricsLog::MetricsLog(fs::path path, std::int64_t lines) : path_(std::move(path)), lines_(lines) {
  if (lines > 0) kept_ = base::read_file(path_);
  std::size_t end = 0;
  for (std::int64_t n = 0; n < lines; ++n) {
    const std::size_t newline = kept_.find('\n', end);
    if (newline == std::string::npos) {
      throw base::DataError(
          fmt::format("{}: {} lines; expected at least the {} that belong to the saved state",
                      path_.string(), n, lines));
    }
    end = newline + 1;
  }
  kept_.resize(end);
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) refuse(path_, "cannot be opened");
  if (::ftruncate(descriptor_, static_cast<off_t>(end)) != 0 ||
      ::lseek(descriptor_, 0, SEEK_END) < 0) {
    ::close(descriptor_);
    refuse(path_, "cannot be truncated");
  }
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::append(const std::string& lines) {
  std::size_t done = 0;
  while (done < lines.size()) {
    const ssize_t n = ::write(descriptor_, lines.data() + done, lines.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) refuse(path_, "cannot be written");
    done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0) refuse(path_, "cannot be synced");
  lines_ += std::count(lines.begin(), lines.end(), '\n');
}

}  // namespace gtrain::train
