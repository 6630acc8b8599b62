#include "metric_pair.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace gtrain::train {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

void split_pairs(const Scores& s, std::vector<double>& positive, std::vector<double>& negative) {
  for (std::int64_t r = 0; r < s.rows; ++r) {
    const auto at = static_cast<std::size_t>(r * s.columns);
    if (std::isnan(s.label[at])) continue;
    (s.label[at] > 0.5 ? positive : negative).push_back(s.output[at]);
  }
}

// Of the middle of the ranks that a tie allows.
double rank_reciprocal(std::int64_t above, std::int64_t equal) {
  return 1.0 / (static_cast<double>(above) + 0.5 * static_cast<double>(equal) + 1.0);
}

// Positives of a graph follow one another.
template <class F>
double mean_by_graph(const std::vector<Rank>& ranks, F value) {
  double sum = 0.0;
  std::int64_t graphs = 0;
  for (std::size_t i = 0; i < ranks.size(); ++graphs) {
    double inner = 0.0;
    const std::size_t first = i;
    for (; i < ranks.size() && ranks[i].graph == ranks[first].graph; ++i) inner += value(ranks[i]);
    sum += inner / static_cast<double>(i - first);
  }
  return graphs > 0 ? sum / static_cast<double>(graphs) : kNone;
}

}  // namespace

double mean_reciprocal_rank(const Scores& s) {
  std::vector<double> positive, negative;
  split_pairs(s, positive, negative);
  std::sort(negative.begin(), negative.end());
  double sum = 0.0;
  for (const double p : positive) {
    const auto [first, last] = std::equal_range(negative.begin(), negative.end(), p);
    sum += rank_reciprocal(negative.end() - last, last - first);
  }
  return positive.empty() ? kNone : sum / static_cast<double>(positive.size());
}

double hits(std::int64_t k, const Scores& s) {
  std::vector<double> positive, negative;
  split_pairs(s, positive, negative);
  return hits_at(k, positive, negative);
}

double graph_rank(const Scores& s, double Rank::*part) {
  return mean_by_graph(s.ranks, [&](const Rank& r) { return r.*part; });
}

double graph_hits(std::int64_t k, const Scores& s) {
  // Ranks are whole or half; 1/(1/49) is more than 49.
  const double last = static_cast<double>(k) + 0.25;
  return mean_by_graph(s.ranks, [&](const Rank& r) { return 1.0 / r.raw < last ? 1.0 : 0.0; });
}

double hits_at(std::int64_t k, const std::vector<double>& positive,
               const std::vector<double>& negative) {
  if (positive.empty()) return kNone;
  if (static_cast<std::int64_t>(negative.size()) < k) return 1.0;
  std::vector<double> sorted = negative;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double threshold = sorted[static_cast<std::size_t>(k - 1)];
  const auto above =
      std::count_if(positive.begin(), positive.end(), [&](double p) { return p > threshold; });
  return static_cast<double>(above) / static_cast<double>(positive.size());
}

double reciprocal_rank(double positive, const double* negative, std::size_t count) {
  std::int64_t above = 0, equal = 0;
  for (std::size_t i = 0; i < count; ++i) {
    above += negative[i] > positive ? 1 : 0;
    equal += negative[i] == positive ? 1 : 0;
  }
  return rank_reciprocal(above, equal);
}

}  // namespace gtrain::train
