// Reads an OGB-style folder into memory as it stands on disk: edge lists, counts, features, labels,
// splits, checked against each other, nothing reordered yet (data/pack.h does that).
//
//   raw/edge             ΣE x 2   source,target; ids local to the graph
//   raw/num-node-list    G x 1    raw/num-edge-list  G x 1
//   raw/node-feat        ΣN x F   optional          raw/edge-feat  ΣE x Fe  optional
//   raw/graph-label      G x T    or raw/node-label ΣN x T, or raw/pair-label P x T with
//   raw/pair             P x 2    and raw/num-pair-list G x 1
//   split/<scheme>/{train,valid,test}   one id a line
//
// each as .csv.gz or .csv; or raw/data.npz with graph-label.npz | node-label.npz, as OGB's
// DatasetSaver writes them. Labels stand once and decide nothing about the task: `level` does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {

struct Folder {
  std::string path;
  bool binary = false;             // from data.npz
  Column num_nodes;                // I64 [G]
  Column num_edges;                // I64 [G], as stored
  Column edges;                    // [ΣE, 2] any integer type
  Column node_features;            // [ΣN, F] or width 0
  Column edge_features;            // [ΣE, Fe] or width 0
  Column labels;                   // [G | ΣN | P, T], smallest integer type or F32 with NaN
  std::vector<std::string> texts;  // [G] in the place of labels, where they were asked for
  Column num_pairs;                // I64 [G], edge tasks
  Column pairs;                    // [P, 2], edge tasks
  std::map<std::string, Split> splits;
  // File each array came from, for messages: "edges", "labels", ….
  std::map<std::string, std::string> file;
};

// True where `path` looks like such a folder: it has raw/.
bool is_folder(const std::filesystem::path& path);

// stem.csv.gz or stem.csv, whichever is there.
std::optional<std::filesystem::path> find_table(const std::filesystem::path& stem);

// Files are read and parsed in parallel. With `texts` graph-label holds a line of text a graph.
// Throws base::DataError for what is missing, damaged or inconsistent, with file and row.
Folder read_folder(const std::filesystem::path& path, Level level, bool texts = false);

// split/*; `count` ids may be named. Throws on ids out of range, repeated or in two parts.
std::map<std::string, Split> read_splits(const std::filesystem::path& path, std::int64_t count);

}  // namespace gtrain::data
