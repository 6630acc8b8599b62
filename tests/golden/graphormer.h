// What the families with Graphormer's encodings share: the columns of pairs, made by gtrain from
// the case's own graphs, and the reference's tensors under gtrain's names.
#pragma once

#include <map>
#include <string>

#include "golden/module_case.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/nn/graph_bias.h"

namespace gtrain::golden {

// Columns degree, hop_distance and shortest_path of the graphs of input.edge_index and ptr, whose
// edges count in the order of the file.
void read_pairs(const Case& c, const std::string& prefix, const encode::ShortestPathOptions& paths,
                data::GraphBatch& batch);
std::map<std::string, std::int64_t> pair_widths();

// GraphGPS's port: its ties and options.
encode::ShortestPathOptions port_paths();
nn::GraphBiasOptions port_bias(const Case& c);

// gtrain's name of a parameter of Graphormer v1; projections q, k, v are the parts of one.
std::string graphormer_name(const std::string& reference);

// The case with the encodings of both repositories under gtrain's names, projections q, k, v
// joined; other tensors keep theirs.
Case with_graphormer_names(const Case& c);

}  // namespace gtrain::golden
