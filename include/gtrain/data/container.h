// The file under every store: an HDF5 file of named arrays that any HDF5 tool opens, preceded by a
// 512-byte user block with which gtrain finds and checks the arrays without HDF5. Written from a
// memory image, durably and byte-deterministically; read by mapping. docs/store.md has the layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gtrain/data/column.h"

namespace gtrain::data {

inline constexpr std::uint32_t kContainerVersion = 1;

// Small facts beside the arrays, written as JSON: text, whole numbers and lists of them.
struct Facts {
  std::map<std::string, std::string> text;
  std::map<std::string, std::vector<std::int64_t>> numbers;
};

struct Container {
  std::string kind;  // "dataset" or "columns"
  Facts facts;
  std::vector<Column> arrays;  // names are HDF5 paths without the leading slash
  std::string hash;            // XXH3-128 of kind, facts and every array; set by reading
};

// Throws base::ResourceError when memory or disk is short; the old file then stays as it was.
void write_container(const std::filesystem::path& path, const Container& content);

// True where the file begins as a container does, damaged or not.
bool is_container(const std::filesystem::path& path);

// Throws base::DataError for a file that is missing, truncated, damaged, foreign, of another
// version or of another kind. Every byte of the file is checked.
Container read_container(const std::filesystem::path& path, const std::string& kind);

}  // namespace gtrain::data
