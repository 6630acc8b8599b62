// Builds the bytes of an HDF5 file in memory: contiguous, 64-byte aligned arrays of fixed-size
// types, no time stamps, oldest format version. HDF5 never touches the disk, so a full disk cannot
// crash it, and nothing here reads HDF5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/data/column.h"

namespace gtrain::data {

inline constexpr std::size_t kUserBlock = 512;

// An open image. Bytes of the user block are zero until filled in by the caller.
class Image {
 public:
  // `expected` bytes of arrays in all: sizes the memory once.
  explicit Image(std::size_t expected);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // Places an array without copying its numbers; returns their offset in the file (0 when empty).
  std::uint64_t place(const std::string& name, DType dtype, std::int64_t rows, std::int64_t width);

  // The finished file, valid while the image lives. No `place` after it.
  char* finish();
  std::size_t size() const { return size_; }

 private:
  std::int64_t file_ = -1;
  std::int64_t links_ = -1;
  std::int64_t layout_ = -1;
  std::size_t size_ = 0;
};

}  // namespace gtrain::data
