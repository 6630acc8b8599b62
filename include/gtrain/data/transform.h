// What a recipe may do to a data set on its way into batches (`dataset.transform`). A transform is
// a pure function of a data set in memory and its encoding columns: folders, stores and caches
// never see it.
//
//   virtual_node (Gilmer et al. 2017; Cai et al. 2023): every graph gets one more node v, the last
//   of its nodes, with the edges i -> v and v -> i for each of its own nodes i. Node columns, edge
//   columns and encodings are 0 in the new rows: category 0, not a missing value, not NaN. A graph
//   without nodes gets v alone. From there on v is a node like any other, in pooling and norms too;
//   only its label is missing in node tasks, and predictions leave it out.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {

struct VirtualNodeOptions {
  static constexpr std::string_view kName = "virtual_node";
  static constexpr std::string_view kDoc =
      "one more node in every graph, joined to all its nodes both ways; columns 0";
  std::string after = "encode";
  bool pure = false;
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

using TransformOptions = std::variant<VirtualNodeOptions>;

struct Transformed {
  Dataset dataset;
  std::vector<Column> encodings;
};

// The transforms whose `after` is `stage` ("import": encodings see the result, and the hash of the
// data set changes; "encode"), in order. Throws base::RecipeError for an encoding column that a
// transform cannot carry (per ordered pair) and for one data set transformed into two virtual
// nodes. Cost: one copy of the data set, O(N + E).
Transformed transform(Dataset dataset, std::vector<Column> encodings,
                      const std::vector<TransformOptions>& options, std::string_view stage);

}  // namespace gtrain::data
