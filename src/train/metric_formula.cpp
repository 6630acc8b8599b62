#include "metric_formula.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace gtrain::train::formula {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::vector<std::size_t> descending(const std::vector<double>& v) {
  std::vector<std::size_t> order(v.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return v[a] != v[b] ? v[a] > v[b] : a < b; });
  return order;
}

// Runs f(first, last) over groups of equal values in descending order.
template <class F>
void for_ties(const std::vector<double>& v, const std::vector<std::size_t>& order, F f) {
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i + 1;
    while (j < order.size() && v[order[j]] == v[order[i]]) ++j;
    f(i, j);
    i = j;
  }
}

std::vector<double> average_ranks(const std::vector<double>& v) {
  const auto order = descending(v);
  std::vector<double> rank(v.size());
  for_ties(v, order, [&](std::size_t i, std::size_t j) {
    for (std::size_t k = i; k < j; ++k) rank[order[k]] = 0.5 * static_cast<double>(i + j - 1);
  });
  return rank;
}

double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

template <class F>
double mean_error(const Column& c, F f) {
  if (c.label.empty()) return kNone;
  double sum = 0.0;
  for (std::size_t i = 0; i < c.label.size(); ++i) sum += f(c.output[i] - c.label[i]);
  return sum / static_cast<double>(c.label.size());
}

struct Counts {
  double true_positive = 0, false_positive = 0, false_negative = 0, right = 0, rows = 0;
};
Counts counts(const Column& c) {
  Counts n;
  for (std::size_t i = 0; i < c.label.size(); ++i) {
    const bool said = c.output[i] > 0.0, is = c.label[i] > 0.5;
    n.true_positive += said && is;
    n.false_positive += said && !is;
    n.false_negative += !said && is;
    n.right += said == is;
    n.rows += 1;
  }
  return n;
}

double quotient(double a, double b) { return b > 0 ? a / b : 0.0; }

}  // namespace

double rocauc(const Column& c) {
  double positives = 0.0;
  for (const double y : c.label) positives += y == 1.0;
  const double negatives = static_cast<double>(c.label.size()) - positives;
  if (positives == 0.0 || negatives == 0.0) return kNone;
  double area = 0.0, above = 0.0;  // positives strictly above the tied group
  const auto order = descending(c.output);
  for_ties(c.output, order, [&](std::size_t i, std::size_t j) {
    double p = 0.0;
    for (std::size_t k = i; k < j; ++k) p += c.label[order[k]] == 1.0;
    const double n = static_cast<double>(j - i) - p;
    area += n * (above + 0.5 * p);
    above += p;
  });
  return area / (positives * negatives);
}

double average_precision(const Column& c) {
  double positives = 0.0;
  for (const double y : c.label) positives += y == 1.0;
  if (positives == 0.0 || positives == static_cast<double>(c.label.size())) return kNone;
  double sum = 0.0, found = 0.0;
  const auto order = descending(c.output);
  for_ties(c.output, order, [&](std::size_t i, std::size_t j) {
    double p = 0.0;
    for (std::size_t k = i; k < j; ++k) p += c.label[order[k]] == 1.0;
    found += p;
    sum += p / positives * (found / static_cast<double>(j));
  });
  return sum;
}

double mse(const Column& c) {
  return mean_error(c, [](double d) { return d * d; });
}
double rmse(const Column& c) { return std::sqrt(mse(c)); }
double mae(const Column& c) {
  return mean_error(c, [](double d) { return std::abs(d); });
}

double r2(const Column& c) {
  if (c.label.empty()) return kNone;
  const double m = mean(c.label);
  double total = 0.0;
  for (const double y : c.label) total += (y - m) * (y - m);
  return total > 0.0 ? 1.0 - mse(c) * static_cast<double>(c.label.size()) / total : kNone;
}

double spearman(const Column& c) {
  if (c.label.empty()) return kNone;
  const auto a = average_ranks(c.output), b = average_ranks(c.label);
  const double ma = mean(a), mb = mean(b);
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : kNone;
}

double binary_accuracy(const Column& c) {
  const Counts n = counts(c);
  return n.rows > 0 ? n.right / n.rows : kNone;
}
double binary_precision(const Column& c) {
  const Counts n = counts(c);
  return n.rows > 0 ? quotient(n.true_positive, n.true_positive + n.false_positive) : kNone;
}
double binary_recall(const Column& c) {
  const Counts n = counts(c);
  return n.rows > 0 ? quotient(n.true_positive, n.true_positive + n.false_negative) : kNone;
}
double binary_f1(const Column& c) {
  const Counts n = counts(c);
  return n.rows > 0 ? quotient(2.0 * n.true_positive,
                               2.0 * n.true_positive + n.false_positive + n.false_negative)
                    : kNone;
}

double class_accuracy(const Classes& c) {
  if (c.label.empty()) return kNone;
  double right = 0.0;
  for (std::size_t i = 0; i < c.label.size(); ++i) right += c.label[i] == c.predicted[i];
  return right / static_cast<double>(c.label.size());
}

double macro_f1(const Classes& c) {
  struct Tally {
    double both = 0, label = 0, predicted = 0;
  };
  std::map<std::int64_t, Tally> tally;
  for (std::size_t i = 0; i < c.label.size(); ++i) {
    tally[c.label[i]].label += 1;
    tally[c.predicted[i]].predicted += 1;
    tally[c.label[i]].both += c.label[i] == c.predicted[i];
  }
  double sum = 0.0;
  for (const auto& [_, t] : tally) sum += 2.0 * t.both / (t.label + t.predicted);
  return tally.empty() ? kNone : sum / static_cast<double>(tally.size());
}

double accuracy_sbm(const Classes& c) {
  if (c.label.empty()) return kNone;
  // Row r of the reference's confusion matrix is the r-th class that occurs, its divisor the number
  // of labels equal to r; the quotient is rounded to float32.
  std::set<std::int64_t> occurring(c.label.begin(), c.label.end());
  occurring.insert(c.predicted.begin(), c.predicted.end());
  double sum = 0.0;
  std::int64_t r = 0;
  for (const std::int64_t k : occurring) {
    std::int64_t right = 0, labels = 0;
    for (std::size_t i = 0; i < c.label.size(); ++i) {
      right += c.label[i] == k && c.predicted[i] == k;
      labels += c.label[i] == r;
    }
    if (labels > 0) sum += static_cast<float>(right) / static_cast<float>(labels);
    ++r;
  }
  return sum / static_cast<double>(occurring.size());
}

double binary_accuracy_sbm(const Column& c) {
  Classes classes;
  for (std::size_t i = 0; i < c.label.size(); ++i) {
    classes.label.push_back(c.label[i] == 1.0);
    classes.predicted.push_back(c.output[i] > 0.0);
  }
  return accuracy_sbm(classes);
}

Overlap overlap(std::vector<std::int64_t> reference, std::vector<std::int64_t> predicted) {
  const std::set<std::int64_t> a(reference.begin(), reference.end());
  const std::set<std::int64_t> b(predicted.begin(), predicted.end());
  std::vector<std::int64_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  const auto size = [](const auto& v) { return static_cast<double>(v.size()); };
  return {quotient(size(both), size(b)), quotient(size(both), size(a)),
          quotient(2.0 * size(both), size(a) + size(b))};
}

}  // namespace gtrain::train::formula
