// Parts of the text that encoding_script puts together. dtype codes of TorchScript: 4 int64, 7
// float64.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gtrain/encode/encoding.h"

namespace gtrain::deploy::detail {

// What one encoding adds to a module. Definitions that several share are the same strings.
struct EncodingText {
  std::vector<std::string> methods;
  // Statements of `encodings`: its columns as local variables named by argument_of. `before` has
  // edge_index, batch and like; `piece` also `a`, the adjacency matrices [g, n, n] of g graphs of n
  // nodes, float64, and `flat`, their node rows [g n].
  std::string before, piece;
};

EncodingText text_of(const encode::RandomWalkOptions& options);
EncodingText text_of(const encode::DegreeOptions& options);
EncodingText text_of(const encode::LaplacianOptions& options);
EncodingText text_of(const encode::HeatKernelOptions& options);
EncodingText text_of(const encode::ElectrostaticOptions& options);
EncodingText text_of(const encode::WeisfeilerLehmanOptions& options);

// Both come from one search.
EncodingText path_text(const std::optional<encode::HopDistanceOptions>& hops,
                       const std::optional<encode::ShortestPathOptions>& paths);

// Statements that set `column` [N, width] before the loop, and rows of it within from `value`.
std::string zeros(const std::string& column, std::int64_t width);
std::string fill(const std::string& column, std::int64_t width, const std::string& value);

}  // namespace gtrain::deploy::detail
