// The formulas behind metric.h for one label column or one list of class decisions. NaN where a
// value is not defined.
#pragma once

#include <cstdint>
#include <vector>

namespace gtrain::train::formula {

struct Column {
  std::vector<double> output, label;  // labelled rows only
};
struct Classes {
  std::vector<std::int64_t> label, predicted;
};

double rocauc(const Column& c);
double average_precision(const Column& c);
double mse(const Column& c);
double rmse(const Column& c);
double mae(const Column& c);
double r2(const Column& c);
double spearman(const Column& c);
double binary_accuracy(const Column& c);
double binary_precision(const Column& c);
double binary_recall(const Column& c);
double binary_f1(const Column& c);
double binary_accuracy_sbm(const Column& c);

double class_accuracy(const Classes& c);
double macro_f1(const Classes& c);
double accuracy_sbm(const Classes& c);

struct Overlap {
  double precision = 0, recall = 0, f1 = 0;
};
Overlap overlap(std::vector<std::int64_t> reference, std::vector<std::int64_t> predicted);

}  // namespace gtrain::train::formula
