// The encodings that exist, one line each, in the order of EncodingOptions: what `gtrain list
// encodings` prints and `gtrain explain` describes.
// Names and docs come from the option structs.
#pragma once

#include <string_view>
#include <vector>

namespace gtrain::encode {

struct EncodingEntry {
  std::string_view name;     // `name` key of a recipe's encode entry
  std::string_view doc;      // one sentence
  std::string_view columns;  // what it computes, with shapes
};

const std::vector<EncodingEntry>& catalog();

}  // namespace gtrain::encode
