// The directory of a run on disk: its name, its lock, and metrics.jsonl. Nothing that is already
// there is ever deleted or written over by a new run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gtrain::train {

// Creates `parent`/<name>-<n> with the smallest n >= 1 that is free; '/' in the name becomes '-'.
std::filesystem::path new_run_directory(const std::filesystem::path& parent,
                                        const std::string& name);
// The existing <name>-<n> with the largest n; empty when there is none.
std::filesystem::path newest_run_directory(const std::filesystem::path& parent,
                                           const std::string& name);

// True where a run could go on: the weights of `init` are of no concern to it any more.
bool holds_state(const std::filesystem::path& directory);

// Throws base::RecipeError where `out` is a file that a run keeps in its directory, which is not to
// be replaced by what is made of it.
void check_output(const std::filesystem::path& out);

// An exclusive lock on DIR/.lock for the life of the object; it dies with the process, so a killed
// run leaves none behind. Throws base::InUseError naming the process that holds it.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& directory);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

// metrics.jsonl: lines are appended and synced. Opening keeps the first `lines` of an earlier file,
// those that belong to the state a run goes on from. Throws base::DataError when the file has
// fewer, base::ResourceError when the disk refuses.
class MetricsLog {
 public:
  MetricsLog(std::filesystem::path path, std::int64_t lines);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  const std::string& kept() const { return kept_; }  // text of the lines found on opening
  void append(const std::string& lines);             // whole lines, each with its newline
  std::int64_t lines() const { return lines_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string kept_;
  std::int64_t lines_ = 0;
};

}  // namespace gtrain::train
