// What `gtrain data info | stats | verify | import` print and do, as text for a terminal. The
// figures themselves are in `Statistics`, so that tests and other programs need not parse text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gtrain/data/dataset.h"
#include "gtrain/data/open.h"

namespace gtrain::data {

struct Range {
  double min = 0, mean = 0, max = 0;
};

struct LabelStatistics {
  std::int64_t present = 0, missing = 0;
  double min = 0, max = 0, mean = 0, deviation = 0;  // of the labels present; population deviation
  std::map<std::int64_t, std::int64_t> count;        // per value, when there are at most 32 of them
};

struct Statistics {
  std::int64_t graphs = 0, nodes = 0;
  std::int64_t edges = 0;  // as stored: directed, so an undirected bond counts twice
  std::int64_t bonds = 0;  // undirected sets: pairs {i, j} with i <= j; else `edges`
  std::int64_t self_loops = 0, isolated_nodes = 0, empty_graphs = 0, edgeless_graphs = 0;
  Range nodes_per_graph, bonds_per_graph, in_degree;
  std::map<std::int64_t, std::int64_t> size_histogram;    // by upper bound 1, 2, 4, 8, …: graphs
  std::map<std::int64_t, std::int64_t> degree_histogram;  // likewise: nodes by in-degree, from 0
  std::vector<LabelStatistics> labels;                    // per label column
};
Statistics statistics(const Dataset& dataset);  // O(nodes + edges)

// Card, task, columns, splits; and the statistics. Throw what open_dataset throws.
std::string describe_info(const DatasetOptions& options);
std::string describe_stats(const DatasetOptions& options);

// Checks every hash of a store; throws base::DataError saying what is damaged and where.
std::string verify_store(const std::filesystem::path& path);

// OGB-style folder (options.path or options.name) -> store, past the cache.
void import_folder(const DatasetOptions& options, const std::filesystem::path& out);

}  // namespace gtrain::data
