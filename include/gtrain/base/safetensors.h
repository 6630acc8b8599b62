// The safetensors container: an 8-byte little-endian header length, a JSON header, raw row-major
// tensors. Reads files of any writer under the format's own rules (header bounds, exact sizes, no
// overlap, no gap, no duplicate key) and writes files that Python's safetensors opens. When gtrain
// writes, `__metadata__` carries an XXH3-128 hash per tensor and of itself; `read_safetensors`
// verifies them where present, and with `require_hashes` refuses files without.
// Knows bytes and shapes only; train/ and tests turn them into tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gtrain::base {

struct RawTensor {
  std::string dtype;  // "F64" "F32" "F16" "BF16" "I64" "I32" "I16" "I8" "U8" "BOOL"
  std::vector<std::int64_t> shape;
  std::string bytes;  // row-major, little-endian, product(shape) elements
};

struct Safetensors {
  std::map<std::string, RawTensor> tensors;
  std::map<std::string, std::string> metadata;
};

// Throws DataError: path, what is wrong and where.
Safetensors read_safetensors(const std::filesystem::path& path, bool require_hashes = false);

// The same for bytes in memory; `origin` stands for the path in messages.
Safetensors parse_safetensors(std::string_view bytes, const std::filesystem::path& origin,
                              bool require_hashes = false);

// Durable (base/durable.h). Keys are written in order, tensors aligned to 64 bytes within the file
// where the format allows.
void write_safetensors(const std::filesystem::path& path, const Safetensors& content);

}  // namespace gtrain::base
