#include "gtrain/data/label.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

// Far above any set of classes, and far below what one mistyped label can ask of memory.
constexpr std::int64_t kMostClass = 9'999'999;

[[noreturn]] void fail(const std::string& where, std::int64_t row, double value,
                       const std::string& expected) {
  throw base::DataError(
      fmt::format("{} (row {}): label {}; expected {}", where, row + 1, value, expected));
}

Column class_labels(const Column& labels, const std::string& where, std::int64_t& classes) {
  if (labels.width != 1) {
    throw base::DataError(
        fmt::format("{} (row 1): {} label columns; expected 1 for classes", where, labels.width));
  }
  auto out = make_column<std::int64_t>("labels", labels.per, labels.rows, 1);
  std::int64_t largest = -1;
  visit(labels, [&](const auto* p) {
    for (std::int64_t r = 0; r < labels.rows; ++r) {
      const auto value = static_cast<double>(p[r]);
      const bool missing = std::isnan(value) || (labels.dtype == DType::kI64 && value == -1);
      if (!missing && (value < 0 || value != std::floor(value) || value > kMostClass)) {
        fail(where, r, value, fmt::format("a class, a whole number from 0 to {}", kMostClass));
      }
      out.data[r] = missing ? -1 : static_cast<std::int64_t>(value);
      if (classes > 0 && out.data[r] >= classes) {
        fail(where, r, value, fmt::format("a class from 0 to {}", classes - 1));
      }
      largest = std::max(largest, out.data[r]);
    }
  });
  if (classes == 0) classes = largest + 1;
  return out.column;
}

}  // namespace

Column labels_for(Task task, const Column& labels, const std::string& where,
                  std::int64_t& classes) {
  if (is_class(task)) return class_labels(labels, where, classes);
  if (is_subtoken(task)) {
    throw base::DataError(
        fmt::format("{}: numbers; expected a text a graph for {}", where, name_of(task)));
  }
  classes = 0;
  auto out = make_column<float>("labels", labels.per, labels.rows, labels.width);
  visit(labels, [&](const auto* p) {
    for (std::int64_t i = 0; i < labels.rows * labels.width; ++i) {
      const auto value = static_cast<double>(p[i]);
      if (std::isinf(static_cast<float>(value))) {
        fail(where, i / labels.width, value, "a finite float");
      }
      if (is_binary(task) && !std::isnan(value) && value != 0 && value != 1) {
        fail(where, i / labels.width, value,
             fmt::format("0 or 1 for {} (or a class task)", name_of(task)));
      }
      out.data[i] = static_cast<float>(value);
    }
  });
  return out.column;
}

}  // namespace gtrain::data
