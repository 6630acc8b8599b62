// Durable files: an artefact appears under its name complete or not at all. Written to a temporary
// file in the same directory, fsynced, renamed, and the directory fsynced; each return is checked.
// A failure removes the temporary file, leaves the old file untouched and throws ResourceError with
// path, cause and the bytes wanted.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace gtrain::base {

// Follows a link to its file. Refuses to replace what is no regular file.
void write_durable(const std::filesystem::path& path, std::string_view bytes);

// Renames within a directory and fsyncs it. Throws ResourceError.
void rename_durable(const std::filesystem::path& from, const std::filesystem::path& to);

// Removes the temporary files that killed writes of `path` left. Nobody else may be writing it.
void clear_temporaries(const std::filesystem::path& path);

// Whole file as bytes. Throws DataError with the path and the system's reason, also for what is no
// regular file.
std::string read_file(const std::filesystem::path& path);

// Creates the directory and its parents; ResourceError where that fails.
void make_directory(const std::filesystem::path& path);

// XXH3-128 of bytes as 32 lower-case hex digits.
std::string hash_hex(std::string_view bytes);

}  // namespace gtrain::base
