// The HDF5 store: one file per imported data set, documented byte for byte in docs/store.md. Fixed
// size types only, contiguous 64-byte aligned arrays (so they can be mapped), an XXH3-128 hash per
// array and of the metadata, a format version. Files are built in memory and written durably, and
// are opened by mapping: HDF5 itself never parses a file whose hash does not match.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {

void write_store(const std::filesystem::path& path, const Dataset& dataset);

// Maps the file. Throws base::DataError naming the file and what is damaged, truncated, or of
// another version. Every byte is checked: a flipped bit in an index would be an access out of
// bounds, and one in a feature a wrong result (XXH3 reads memory as fast as it comes).
Dataset read_store(const std::filesystem::path& path);

// Columns outside a data set (encodings), in the same container; `key` and `of` (the data set's
// hash) must match on reading, else an empty list is returned. Throws as read_store does.
void write_columns(const std::filesystem::path& path, const std::vector<Column>& columns,
                   const std::string& key, const std::string& of);
std::vector<Column> read_columns(const std::filesystem::path& path, const std::string& key,
                                 const std::string& of);

}  // namespace gtrain::data
