// What the runs of a table came to: a row's mean and unbiased deviation, its cost, and how far it
// is from what was published.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "table_file.h"
#include "table_run.h"

namespace gtrain::train {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// Mean and unbiased deviation of n values; NaN where there are too few.
struct Spread {
  double mean = kUnknown, deviation = kUnknown;
  std::int64_t n = 0;
};
Spread spread_of(const std::vector<double>& values);

struct PublishedFigure {
  Spread spread;  // n 0: the number of runs is not stated
  double parameters = kUnknown;
  std::string source;
  bool retrained = false;  // TableRow::retrained
};

// (own - published) in standard errors of that difference, sqrt(s^2/n + s_p^2/n_p). A single run is
// taken to spread as the published ones do; a published value without deviation is taken as exact.
// NaN where no spread is known.
double distance(const Spread& own, const Spread& published);

struct RowFigures {
  std::string label, data, metric;
  std::vector<double> values;  // of the finished runs, in the order of members
  Spread spread;
  std::int64_t wanted = 0;  // runs
  std::vector<std::string> failed, pending;
  double parameters = kUnknown, epoch_seconds = kUnknown, peak_bytes = kUnknown;
  double seconds = kUnknown;  // of a run, evaluation included; the mean, as epoch_seconds
  std::optional<PublishedFigure> published;
  double distance = kUnknown;
  std::string directory;
};

struct StaleFigures {
  std::string label, reason, directory;
  Spread spread;
};

RowFigures figures_of(const Table& table, const TableRow& row, const RowRuns& runs);
StaleFigures figures_of(const Table& table, const TableRuns::Stale& stale);

}  // namespace gtrain::train
