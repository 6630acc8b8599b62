// Where computed encodings are kept: one file per encoding beside the data set's store,
// `<store stem>.<encoding>-<16 hex digits>.h5`, the digits a hash of the key. The key is canonical
// text of the encoding's name, every option value and kEncodingVersion, so other options or another
// release's numbers never pass for these; the data set's hash is checked by the container.
#pragma once

#include <filesystem>
#include <string>

#include "gtrain/encode/encoding.h"

namespace gtrain::encode {

// Raised whenever the same options give other numbers than before.
inline constexpr int kEncodingVersion = 1;

std::string cache_key(const EncodingOptions& options);
std::filesystem::path cache_path(const std::filesystem::path& store,
                                 const EncodingOptions& options);

}  // namespace gtrain::encode
