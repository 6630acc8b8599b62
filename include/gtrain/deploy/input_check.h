// TorchScript of the checks by which an exported module meets its arguments: a few passes over
// them, so that wrong input ends in a sentence that begins with the argument's name, not in a crash
// or in numbers that mean nothing. Categories are checked by the layers that look them up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gtrain/deploy/graph_script.h"
#include "gtrain/models/model.h"

namespace gtrain::deploy {

// Method check(self, x, edge_index, edge_attr, batch), of the graph as forward takes it: shapes,
// types, finite numbers, at least one node, ids that ascend without large gaps, edges inside
// graphs.
std::string input_check_script(const RawFeatures& features, const models::Signature& signature);

// Statements of forward, below that check: on `pairs`, and on an encoding that is an argument, with
// `width` columns a node or, without, a row for each ordered pair of nodes of a graph.
std::string pair_check_script();
std::string encoding_check_script(const std::string& name, std::optional<std::int64_t> width);

}  // namespace gtrain::deploy
