// What the runs of a table came to: a row's mean and unbiased deviation, its cost, and how far it
// is from what was published.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "table_file.h"
#include "table_inference.h"
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

// Mean of n paired differences and its 95 % interval of Student's t with n - 1 degrees of freedom;
// the interval is NaN for fewer than two pairs. `worse`: what is lost, in the metric's own
// direction, is below this with 95 % confidence (one-sided).
struct PairedFigure {
  std::string against;  // label of the other row
  double mean = kUnknown, low = kUnknown, high = kUnknown, worse = kUnknown;
  std::int64_t n = 0;
};
PairedFigure paired_of(const std::vector<double>& differences, bool maximise = true);
// Whether more of the metric is better; of the loss it is not.
bool is_maximised(const std::string& metric);

struct RowFigures {
  std::string label, data, metric;
  std::vector<std::string> runs;  // the finished ones, by fold and seed
  std::vector<double> values;     // theirs
  Spread spread;
  std::int64_t wanted = 0;  // runs
  std::vector<std::string> failed, pending;
  double parameters = kUnknown, epoch_seconds = kUnknown, peak_bytes = kUnknown;
  double seconds = kUnknown;  // of a run, evaluation included; the mean, as epoch_seconds
  double flops = kUnknown, sparse_flops = kUnknown;  // of a graph, without the rules and with them
  std::optional<InferenceFigures> inference = {};
  std::optional<PublishedFigure> published;
  double distance = kUnknown;
  std::optional<PairedFigure> paired;  // TableRow::against
  std::string directory;
};

struct StaleFigures {
  std::string label, reason, directory;
  Spread spread;
};

RowFigures figures_of(const Table& table, const TableRow& row, const RowRuns& runs);
StaleFigures figures_of(const Table& table, const TableRuns::Stale& stale);

// The differences own - other over the folds and seeds that both have finished.
PairedFigure paired_of(const RowFigures& own, const RowFigures& other);

}  // namespace gtrain::train
