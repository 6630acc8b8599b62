// The encodings of a fused module: one call of an operator of libgtrain_ops for each, which
// computes what encode::compute does, to the bit (script/encoding.h).
#pragma once

#include <string>
#include <vector>

#include "gtrain/encode/encoding.h"

namespace gtrain::deploy {

// The method `encodings` of encoding_script.h with the same arguments and results; needs no other
// method. Throws base::RecipeError where no option computes a column.
std::string fused_encoding_script(const std::vector<encode::EncodingOptions>& options,
                                  const std::vector<std::string>& columns);

}  // namespace gtrain::deploy
