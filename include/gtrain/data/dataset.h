// A data set in memory: all graphs packed one after another in CSR form, their features, labels and
// splits. Read-only once made; the bytes usually live in a mapped store (data/store.h).
//
// Packing: graph g owns nodes [node_start[g], node_start[g+1]) and edges [edge_start[g],
// edge_start[g+1]). Rows are destinations: the edges j -> i of node i (global row r) are entries
// [row_start[r], row_start[r+1]) and `source` holds j local to its graph, ascending in a row.
// edge_features row e belongs to entry e. Directed: an undirected bond stands twice.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gtrain/data/column.h"

namespace gtrain::data {

enum class Task : std::uint8_t {
  kGraphRegression,
  kGraphBinary,
  kGraphMultilabel,
  kGraphClass,
  kGraphSubtoken,
  kNodeRegression,
  kNodeBinary,
  kNodeClass,
  kEdgeRegression,
  kEdgeBinary,
  kEdgeClass,
};
enum class Level : std::uint8_t { kGraph, kNode, kEdge };
Level level_of(Task task);
bool is_class(Task task);        // one integer label, C logits
bool is_binary(Task task);       // 0/1 labels per column (binary and multilabel), C logits
bool is_regression(Task task);   // real labels per column
bool is_subtoken(Task task);     // a short text per graph, by its tokens (data/vocabulary.h)
const char* name_of(Task task);  // "graph_regression"
Task task_named(const std::string& name);  // throws base::RecipeError with the known names

struct DatasetInfo {
  std::string name;
  Task task = Task::kGraphRegression;
  std::string metric;                   // "rocauc", "mae", …
  std::int64_t classes = 0;             // class tasks: number of classes; subtoken tasks: V; else 0
  std::int64_t positions = 0;           // subtoken tasks: tokens that are predicted; else 0
  std::vector<std::string> vocabulary;  // subtoken tasks: V words, the last two __UNK__, __EOS__
  // Category counts per integer feature column (values in [0, count)). Empty: the features are
  // plain numbers, whatever type they are stored in, and reach a model as floats.
  std::vector<std::int64_t> node_categories;
  std::vector<std::int64_t> edge_categories;
  bool undirected = true;     // every edge has its reverse
  bool virtual_node = false;  // the last node of every graph was added (data/transform.h)
  std::string split;          // scheme to use when a recipe names none
  std::string hash;           // of the content: XXH3-128, hex; set by reading a store
};

struct Split {
  // Graph ids of a set of graphs; node ids where the set is one graph with node labels.
  std::vector<std::int64_t> train, valid, test;
};

struct Dataset {
  DatasetInfo info;

  Column node_start;     // I64 [G+1]
  Column edge_start;     // I64 [G+1]
  Column row_start;      // I64 [ΣN+1], absolute positions in `source`
  Column source;         // I32 [E]
  Column node_features;  // [ΣN, F] integer or F32; width 0 when the set has none
  Column edge_features;  // [E, Fe] likewise
  // [G | ΣN | P, T]: F32 (NaN = missing), or I64 classes (-1 = missing). Subtoken tasks: I64 ids of
  // all tokens of a text, those from V on outside the vocabulary, -1 after the last.
  Column labels;
  Column pair_start;  // edge tasks: I64 [G+1]; else empty
  Column pairs;       // edge tasks: I32 [P, 2] local ids

  std::map<std::string, Split> splits;  // by scheme: "scaffold", "split0", …

  std::int64_t graphs() const { return node_start.rows - 1; }
  std::int64_t nodes() const { return row_start.rows - 1; }
  std::int64_t edges() const { return source.rows; }
  std::int64_t nodes_of(std::int64_t g) const {
    return node_start.as<std::int64_t>()[g + 1] - node_start.as<std::int64_t>()[g];
  }
  // One graph whose nodes carry the labels: splits then hold node ids.
  bool single_graph() const { return graphs() == 1 && level_of(info.task) == Level::kNode; }
  // Columns C a model has to put out: classes for class tasks, V for each position of subtoken
  // tasks, else label columns.
  std::int64_t outputs() const {
    if (is_subtoken(info.task)) return info.positions * info.classes;
    return is_class(info.task) ? info.classes : labels.width;
  }
};

}  // namespace gtrain::data
