// Folder -> Dataset: doubles edges where the set stores each once, sorts them into rows by
// destination, permutes edge features alike, and checks what the numbers must satisfy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/data/dataset.h"
#include "gtrain/data/folder.h"

namespace gtrain::data {

// What the files do not say, from card and recipe together.
struct PackRules {
  std::string name;
  Task task = Task::kGraphRegression;
  std::string metric;
  std::string split;              // default scheme
  bool add_inverse_edge = false;  // as OGB: edge e and its reverse, one after the other
  std::string features;           // OGB's tables and "numeric" matter here
  std::vector<std::int64_t> node_categories, edge_categories;
  std::int64_t classes = 0;
  std::int64_t clip_nodes = 0;  // what import keeps of a larger graph (data/clip.h); 0: all
};

// Category counts that card and features state together, one a column; empty where neither does.
std::vector<std::int64_t> stated_node_categories(const PackRules& rules);
std::vector<std::int64_t> stated_edge_categories(const PackRules& rules);

// Edge order within a row: source ascending, repeated edges as stored (after doubling, e before its
// reverse). Parallel over graphs, O(N + E); the result does not depend on the thread count. Throws
// base::DataError with file and row: edge ends out of range, categories, labels.
Dataset pack(const Folder& folder, const PackRules& rules);

}  // namespace gtrain::data
