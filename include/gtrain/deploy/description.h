// gtrain.json, the extra file by which an exported module says what it is. docs/export.md lists the
// keys for readers; `format` rises when one changes its meaning.
#pragma once

#include <string>
#include <vector>

#include "gtrain/deploy/script_module.h"

namespace gtrain::deploy {

std::string description(const models::Model& model, const ExportSpec& spec);

// XXH3-128 over the state in the order of its names, of each the name, a zero byte and the values'
// little-endian bytes as the model holds them. The same for one model however it is exported.
std::string weight_hash(const models::Model& model);

// Whether the module computes encodings whose matrices limit the nodes of a graph (kDenseNodes).
bool computes_densely(const models::Model& model, const ExportSpec& spec);

// What one reads back to run a file. The signature is of what forward takes: node_width
// kAnyColumns where only the rows of x count; without encodings.
inline constexpr std::int64_t kAnyColumns = -1;
struct Description {
  std::string recipe, task;
  models::Signature signature;
  Encodings encodings = Encodings::kInside;
  std::vector<std::string> inputs;  // arguments of forward, in order
  bool fused = false;
};

// Throws base::DataError, naming `origin`, for what gtrain does not write.
Description parse_description(const std::string& text, const std::string& origin);

}  // namespace gtrain::deploy
