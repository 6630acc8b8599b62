// A named array of a data set: rows x width numbers of one fixed-size type, in memory or mapped
// from a store. The vocabulary in which files, stores, encodings and batches exchange data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace gtrain::data {

enum class DType : std::uint8_t { kI8, kU8, kI16, kI32, kI64, kF32, kF64 };
std::size_t size_of(DType dtype);
const char* name_of(DType dtype);

// What a row of the column belongs to.
enum class Per : std::uint8_t {
  kGraph,
  kNode,
  kEdge,
  kPair
};  // kPair: ordered pairs (i,j), n² rows
const char* name_of(Per per);

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
  bool integer() const { return dtype != DType::kF32 && dtype != DType::kF64; }
};

// Calls f(const T* elements) with the column's own element type.
template <class F>
decltype(auto) visit(const Column& column, F&& f) {
  switch (column.dtype) {
    case DType::kI8:
      return std::forward<F>(f)(column.as<std::int8_t>());
    case DType::kU8:
      return std::forward<F>(f)(column.as<std::uint8_t>());
    case DType::kI16:
      return std::forward<F>(f)(column.as<std::int16_t>());
    case DType::kI32:
      return std::forward<F>(f)(column.as<std::int32_t>());
    case DType::kI64:
      return std::forward<F>(f)(column.as<std::int64_t>());
    case DType::kF32:
      return std::forward<F>(f)(column.as<float>());
    case DType::kF64:
      break;
  }
  return std::forward<F>(f)(column.as<double>());
}

// An owned, zeroed column and the pointer to fill it through. T is one of the types above; throws
// base::DataError when rows*width overflows and base::ResourceError when memory is short.
template <class T>
struct Filling {
  Column column;
  T* data;
};
template <class T>
Filling<T> make_column(std::string name, Per per, std::int64_t rows, std::int64_t width);

// The same with the type chosen at run time; `data` points at untyped elements.
Filling<void> make_column(DType dtype, std::string name, Per per, std::int64_t rows,
                          std::int64_t width);

// The smallest integer type that holds [low, high].
DType integer_type(std::int64_t low, std::int64_t high);

}  // namespace gtrain::data
