// A zip archive with a hash of itself in its end comment, `gtrain-xxh3:<32 hex digits>`: the
// XXH3-128 of every byte before the comment's length field. Zip readers, torch.jit.load among them,
// skip the comment; torch itself accepts most files with a flipped bit, so gtrain checks.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace gtrain::deploy {

// `archive`: a whole zip file without an end comment. Throws std::invalid_argument otherwise.
std::string seal(std::string archive);

// Throws base::DataError: `path`, and whether the seal is missing or does not match.
void check_seal(std::string_view bytes, const std::filesystem::path& path);

}  // namespace gtrain::deploy
