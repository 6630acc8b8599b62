// Message-passing networks of the golden cases: OGB's examples, the custom_gnn and
// custom_virtual_gnn of the MPNN + virtual node fork. What they are stands in their configuration
// and in the shapes of their parameters.
#pragma once

#include <functional>

#include "golden/module_case.h"
#include "gtrain/models/mpnn.h"

namespace gtrain::golden {

// gtrain's name of a parameter or buffer of these networks.
std::string mpnn_name(const std::string& reference);

// Where a network is described: case.json, or an entry of init_stats.
struct MpnnSource {
  nlohmann::json config;
  // Of a reference parameter; empty: there is none.
  std::function<std::vector<std::int64_t>(const std::string&)> shape;
  std::int64_t encoding_width = 0;  // of the Laplacian's eigenvectors
  double dropout = 0.0;
};
MpnnSource mpnn_source(const Case& c);
std::shared_ptr<models::Model> build_mpnn(const MpnnSource& source);

}  // namespace gtrain::golden
