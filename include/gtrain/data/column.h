// A named array of a data set: rows x width numbers of one fixed-size type, in memory or mapped
// from a store. The vocabulary in which files, stores, encodings and batches exchange data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace gtrain::data {

enum class DType : std::uint8_t { kI8, kU8, kI16, kI32, kI64, kF32, kF64 };
std::size_t size_of(DType dtype);
const char* name_of(DType dtype);

// What a row of the column belongs to.
enum class Per : std::uint8_t { kGraph, kNode, kEdge, kPair };  // kPair: ordered pairs (i,j), n² rows

// Immutable; copies share the bytes. `owner` keeps the memory or the mapping alive.
struct Column {
  std::string name;
  Per per = Per::kNode;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t width = 1;
  const void* data = nullptr;  // rows*width elements, row-major, 64-byte aligned
  std::shared_ptr<const void> owner;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  std::size_t bytes() const;
  bool empty() const { return rows == 0 || width == 0; }
};

// An owned, zeroed column and the pointer to fill it through.
template <class T>
struct Filling {
  Column column;
  T* data;
};
template <class T>
Filling<T> make_column(std::string name, Per per, std::int64_t rows, std::int64_t width);

}  // namespace gtrain::data
