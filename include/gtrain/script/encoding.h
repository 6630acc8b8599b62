// The encodings of a batch as encode::compute gives them for a data set, to the bit: the operator
// behind the encodings inside a fused module.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace gtrain::script {

// edge_index int64 [2, E], any order, within graphs; batch int64 [N], ascending; options: a line of
// encode/option_text.h. Returns the encoding's columns: [N, K] per node, [P, 1] per pair, float,
// int32 or uint8 as encode/encoding.h says. Throws base::DataError for ends out of range and for
// edges between graphs, base::RecipeError for options that are none.
std::vector<at::Tensor> encoding(const at::Tensor& edge_index, const at::Tensor& batch,
                                 const std::string& options);

}  // namespace gtrain::script
