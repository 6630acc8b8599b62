// The card of a data set: datasets/<name>/card.yaml, or card.yaml inside an OGB-style folder. Says
// what the files cannot: task, metric, whether edges stand once, what the numbers mean, where the
// set came from and what was published on it. docs/datasets.md documents every key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gtrain::data {

struct Published {
  std::string model;
  double value = 0;
  std::optional<double> std;
  std::optional<std::int64_t> runs, parameters;
  std::string source;
};

// What a graph of the set looks like on average, for data made in its likeness (data/stand_in.h).
struct Shape {
  std::optional<double> nodes,
      edges;  // per graph, edges as stored; else the card's totals / graphs
  std::int64_t node_columns = 0,
               edge_columns = 0;  // of plain numbers, where there are no categories
  std::int64_t labels = 1;        // label columns
  double pairs = 0;               // labelled pairs per graph, of edge tasks
};

struct Card {
  std::string name;                  // as in `dataset.name`
  std::string title;                 // one line for a reader
  std::string source;                // url
  std::string licence;               // as stated at the source
  std::string sha256;                // of what `source` gives; may be empty
  std::vector<std::string> folders;  // further folder names under which the set is looked for

  std::optional<std::int64_t> graphs, nodes, edges;  // totals; edges as stored on disk
  std::string task;                                  // a name of data::Task, or empty
  std::string metric;
  std::string split;  // default scheme
  std::optional<bool> add_inverse_edge;
  std::string features;  // as dataset.features
  std::vector<std::int64_t> node_categories, edge_categories;
  std::int64_t classes = 0;  // 0: the largest label + 1
  Shape shape;
  std::vector<Published> published;
};

// Strict: unknown or repeated keys and values of the wrong kind are refused, all problems at once,
// as base::DataError `path:line:column: key: what`.
Card read_card(const std::filesystem::path& path);

}  // namespace gtrain::data
