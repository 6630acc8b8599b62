// The options of an encoding as a line of JSON and back, e.g. {"name":"random_walk","steps":16}:
// how an exported module names an encoding that it asks libgtrain_ops for. Keys are those of a
// recipe's encode entry; all of them are written, and those that a text leaves out keep their
// defaults. Fields are numbers, texts, truths and lists of them; no encoding has others.
#pragma once

#include <string>

#include "gtrain/encode/encoding.h"

namespace gtrain::encode {

std::string to_json(const EncodingOptions& options);

// Throws base::RecipeError for text that is no JSON object, an unknown encoding, a key that it does
// not have and a value of another type or outside its bounds.
EncodingOptions from_json(const std::string& text);

}  // namespace gtrain::encode
