// The runs of a table: which ones a row needs, where each lies, which are there, and the training
// of those that are not.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "member.h"
#include "table_file.h"

namespace gtrain::train {

// What a result depends on besides seed and fold.
struct RunKey {
  std::string recipe_hash, data_hash;
  std::int64_t numerics = 0;
  std::string init_hash = {};  // of the weights of `init`; empty: random ones
  std::string name() const;    // 12 hex digits
};

// Runs that a row needs. `directory` is a function of recipe and key, so that rows which agree
// share their runs.
struct RowRuns {
  std::string label;
  Recipe recipe;
  RunKey key;
  std::filesystem::path directory;
  std::vector<Member> members;  // their directories are below the row's
  // Why the row, or a run of it, could not be started: by run, "" for the row.
  std::map<std::string, std::string> problems;
  base::ExitCode code = base::ExitCode::kOk;  // of the first problem
};

enum class RunState { kMissing, kBegun, kDiverged, kDone };

class TableRuns {
 public:
  explicit TableRuns(std::filesystem::path root) : root_(std::move(root)) {}

  // Opens the row's data set to know its hash and metrics; what that is refused for becomes a
  // problem, and so does a table's metric (empty: the data set's) that the runs would not report.
  RowRuns runs_of(const TableRow& row, const std::string& metric);

  // Trains what is not there. kOk, kDiverged, or kInterrupted/kTerminated; problems go into `row`.
  base::ExitCode complete(RowRuns& row, const std::atomic<int>* interrupt, bool quiet) const;

  // A directory of runs that no row of `rows` needs any more, and why.
  struct Stale {
    std::string label, reason;
    std::filesystem::path directory;
    std::vector<std::string> runs;  // below it
  };
  std::vector<Stale> stale(const std::vector<RowRuns>& rows) const;

 private:
  const data::DatasetInfo& info_of(const Recipe& recipe);

  std::filesystem::path root_;
  std::map<std::string, data::DatasetInfo> infos_;  // by hash of the `dataset:` section
};

RunState state_of(const RowRuns& row, const Member& member);

}  // namespace gtrain::train
