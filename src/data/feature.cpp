#include "gtrain/data/feature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

// Smallest and largest value per column.
struct Bounds {
  std::vector<std::int64_t> low, high;
};

// Several rows side by side, so that the inner loop runs over many neighbouring lanes.
constexpr std::int64_t kRowsAbreast = 64;

template <class T>
Bounds bounds_of_rows(const T* p, std::int64_t rows, std::int64_t width) {
  const std::int64_t lanes = width * kRowsAbreast;
  std::vector<T> low(static_cast<std::size_t>(lanes), std::numeric_limits<T>::max());
  std::vector<T> high(static_cast<std::size_t>(lanes), std::numeric_limits<T>::lowest());
  T* const l = low.data();
  T* const h = high.data();
  for (std::int64_t at = 0; at < rows * width; at += lanes) {
    const std::int64_t count = std::min(lanes, rows * width - at);
    for (std::int64_t i = 0; i < count; ++i) {
      l[i] = std::min(l[i], p[at + i]);
      h[i] = std::max(h[i], p[at + i]);
    }
  }
  Bounds b;
  for (std::int64_t c = 0; c < width; ++c) {
    T lowest = l[c];
    T highest = h[c];
    for (std::int64_t i = c; i < lanes; i += width) {
      lowest = std::min(lowest, l[i]);
      highest = std::max(highest, h[i]);
    }
    b.low.push_back(static_cast<std::int64_t>(lowest));
    b.high.push_back(static_cast<std::int64_t>(highest));
  }
  return b;
}

Bounds merged(Bounds a, const Bounds& b) {
  if (a.low.empty()) return b;
  for (std::size_t c = 0; c < b.low.size(); ++c) {
    a.low[c] = std::min(a.low[c], b.low[c]);
    a.high[c] = std::max(a.high[c], b.high[c]);
  }
  return a;
}

// Of integer columns with at least one row.
Bounds bounds_of(const Column& features) {
  return visit(features, [&](const auto* p) {
    return tbb::parallel_reduce(
        tbb::blocked_range<std::int64_t>(0, features.rows, 16384), Bounds{},
        [&](const tbb::blocked_range<std::int64_t>& range, Bounds b) {
          return merged(std::move(b), bounds_of_rows(p + range.begin() * features.width,
                                                     range.end() - range.begin(), features.width));
        },
        merged);
  });
}

// Of a column without a stated number of categories: far above any vocabulary, and far below what
// one mistyped cell can ask of memory.
constexpr std::int64_t kMostCategories = 100'000'000;

[[noreturn]] void fail_at_first(const Column& features, std::size_t c, std::int64_t count,
                                const std::string& where, const char* way_out = "") {
  const auto column = static_cast<std::int64_t>(c);
  visit(features, [&](const auto* p) {
    for (std::int64_t r = 0; r < features.rows; ++r) {
      const auto value = static_cast<std::int64_t>(p[r * features.width + column]);
      if (value < 0 || value >= count) {
        throw base::DataError(fmt::format("{} (row {}): column {} is {}; expected 0 to {}{}", where,
                                          r + 1, column + 1, value, count - 1, way_out));
      }
    }
  });
  throw std::logic_error("a category out of range was not found again");
}

void set_node_features(Dataset& dataset, Column column, std::vector<std::int64_t> categories) {
  dataset.node_features = std::move(column);
  dataset.info.node_categories = std::move(categories);
}

// Degrees (in CSR rows) as one category column.
void degree_onehot(Dataset& dataset, std::int64_t cap) {
  const auto* start = dataset.row_start.as<std::int64_t>();
  auto out = make_column<std::int32_t>("node_features", Per::kNode, dataset.nodes(), 1);
  std::int64_t largest = cap;
  for (std::int64_t i = 0; i < dataset.nodes(); ++i) {
    const std::int64_t degree = start[i + 1] - start[i];
    const std::int64_t counted = cap > 0 ? std::min(degree, cap) : degree;
    out.data[i] = static_cast<std::int32_t>(counted);
    largest = std::max(largest, counted);
  }
  set_node_features(dataset, std::move(out.column), {largest + 1});
}

// Columns of categories as one 0/1 column a category.
void one_hot(Dataset& dataset) {
  const std::vector<std::int64_t>& counts = dataset.info.node_categories;
  if (counts.empty()) {
    throw base::RecipeError("dataset.features: one_hot: the nodes of " + dataset.info.name +
                            " have no categories; expected numeric, or nothing");
  }
  const std::int64_t width = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  auto out = make_column<float>("node_features", Per::kNode, dataset.nodes(), width);
  visit(dataset.node_features, [&](const auto* value) {
    for (std::int64_t i = 0; i < dataset.nodes(); ++i) {
      float* row = out.data + i * width;
      for (const std::int64_t count : counts) {
        row[static_cast<std::int64_t>(*value++)] = 1;
        row += count;
      }
    }
  });
  set_node_features(dataset, std::move(out.column), {});
}

// Profiles of the nodes of one graph, from the edges that leave them; `degree` is a workspace.
void profile_graph(const Dataset& dataset, std::int64_t g, std::vector<std::int64_t>& degree,
                   float* out) {
  const auto* start = dataset.row_start.as<std::int64_t>();
  const auto* source = dataset.source.as<std::int32_t>();
  const std::int64_t first = dataset.node_start.as<std::int64_t>()[g];
  const std::int64_t nodes = dataset.nodes_of(g);
  // f(j, i) for every edge j -> i.
  const auto each_edge = [&](auto f) {
    for (std::int64_t i = 0; i < nodes; ++i) {
      for (std::int64_t e = start[first + i]; e < start[first + i + 1]; ++e) f(source[e], i);
    }
  };
  degree.assign(static_cast<std::size_t>(nodes), 0);
  each_edge([&](std::int64_t j, std::int64_t) { ++degree[static_cast<std::size_t>(j)]; });
  const auto of = [&](std::int64_t i) { return degree[static_cast<std::size_t>(i)]; };
  std::vector<double> sum(degree.size()), square(degree.size());
  each_edge([&](std::int64_t j, std::int64_t i) {
    float* row = out + 5 * j;
    const auto d = static_cast<float>(of(i));
    const bool fresh = row[0] == 0;
    row[0] = static_cast<float>(of(j));
    row[1] = fresh ? d : std::min(row[1], d);
    row[2] = std::max(row[2], d);
    sum[static_cast<std::size_t>(j)] += static_cast<double>(of(i));
  });
  const auto mean = [&](std::int64_t j) {
    return sum[static_cast<std::size_t>(j)] / static_cast<double>(of(j));
  };
  each_edge([&](std::int64_t j, std::int64_t i) {
    const double d = static_cast<double>(of(i)) - mean(j);
    square[static_cast<std::size_t>(j)] += d * d;
  });
  for (std::int64_t j = 0; j < nodes; ++j) {
    if (of(j) == 0) continue;
    out[5 * j + 3] = static_cast<float>(mean(j));
    out[5 * j + 4] = static_cast<float>(
        std::sqrt(square[static_cast<std::size_t>(j)] / static_cast<double>(of(j))));
  }
}

void local_degree_profile(Dataset& dataset) {
  auto out = make_column<float>("node_features", Per::kNode, dataset.nodes(), 5);
  const auto* node_start = dataset.node_start.as<std::int64_t>();
  tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, dataset.graphs(), 64),
                    [&](const tbb::blocked_range<std::int64_t>& range) {
                      std::vector<std::int64_t> degree;
                      for (std::int64_t g = range.begin(); g < range.end(); ++g) {
                        profile_graph(dataset, g, degree, out.data + 5 * node_start[g]);
                      }
                    });
  set_node_features(dataset, std::move(out.column), {});
}

}  // namespace

std::vector<std::int64_t> ogb_atom_categories(const std::string& features) {
  if (features == "ogb_mol") return {119, 5, 12, 12, 10, 6, 6, 2, 2};
  if (features == "ogb_mol_2020") return {119, 4, 12, 12, 10, 6, 6, 2, 2};
  if (features == "ogb_code") return {98, 10030, 21};  // type, attribute, depth
  return {};
}

std::vector<std::int64_t> ogb_bond_categories(const std::string& features) {
  if (features == "ogb_code") return {2, 2};  // next token, reversed
  if (ogb_atom_categories(features).empty()) return {};
  return {5, 6, 2};
}

std::vector<std::int64_t> categories_of(const Column& features,
                                        const std::vector<std::int64_t>& stated,
                                        const std::string& where) {
  if (features.width == 0 || (features.rows == 0 && stated.empty())) return {};
  if (!stated.empty() && features.rows > 0) {
    if (!features.integer()) {
      throw base::DataError(where + ": real numbers; expected integer categories as the card says");
    }
    if (static_cast<std::int64_t>(stated.size()) != features.width) {
      throw base::DataError(fmt::format("{} (row 1): {} columns; expected {}, one a category count",
                                        where, features.width, stated.size()));
    }
  }
  if (!features.integer()) return {};
  if (features.rows == 0) return stated;
  const Bounds bounds = bounds_of(features);
  std::vector<std::int64_t> counts = stated;
  if (stated.empty()) {
    if (*std::min_element(bounds.low.begin(), bounds.low.end()) < 0) return {};
    for (std::size_t c = 0; c < bounds.high.size(); ++c) {
      if (bounds.high[c] >= kMostCategories) {
        fail_at_first(features, c, kMostCategories, where,
                      " (or dataset.features: numeric, if the columns are plain numbers)");
      }
      counts.push_back(bounds.high[c] + 1);
    }
    return counts;
  }
  for (std::size_t c = 0; c < counts.size(); ++c) {
    if (bounds.low[c] < 0 || bounds.high[c] >= counts[c]) {
      fail_at_first(features, c, counts[c], where);
    }
  }
  return counts;
}

const std::vector<std::string_view>& feature_names() {
  static const std::vector<std::string_view> names{
      "",         "ogb_mol",       "ogb_mol_2020",        "ogb_code", "numeric", "one_hot",
      "constant", "degree_onehot", "local_degree_profile"};
  return names;
}

bool made_from_graph(const std::string& name) {
  return name == "one_hot" || name == "constant" || name == "degree_onehot" ||
         name == "local_degree_profile";
}

void apply_features(Dataset& dataset, const std::string& name, std::int64_t degree_cap) {
  if (name.empty() || !ogb_atom_categories(name).empty()) return;
  if (name == "constant") {
    set_node_features(
        dataset, make_column<std::uint8_t>("node_features", Per::kNode, dataset.nodes(), 1).column,
        {1});
  } else if (name == "degree_onehot") {
    degree_onehot(dataset, degree_cap);
  } else if (name == "one_hot") {
    one_hot(dataset);
  } else if (name == "local_degree_profile") {
    local_degree_profile(dataset);
  } else if (name == "numeric") {
    dataset.info.node_categories.clear();
    dataset.info.edge_categories.clear();
  } else {
    const auto& known = feature_names();
    throw base::RecipeError(fmt::format("dataset.features: {}: unknown; known: {}", name,
                                        fmt::join(known.begin() + 1, known.end(), ", ")));
  }
  const std::string cap = name == "degree_onehot" && degree_cap > 0
                              ? fmt::format(" up to {}", degree_cap)
                              : std::string();
  dataset.info.hash = base::hash_hex(dataset.info.hash + " features: " + name + cap);
}

}  // namespace gtrain::data
