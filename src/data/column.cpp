#include "gtrain/data/column.h"

#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <type_traits>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr std::size_t kAlignment = 64;

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, std::int8_t>) return DType::kI8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::kU8;
  if constexpr (std::is_same_v<T, std::int16_t>) return DType::kI16;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::kI32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::kI64;
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  return DType::kF64;
}

std::size_t checked_bytes(const std::string& name, DType dtype, std::int64_t rows,
                          std::int64_t width) {
  std::int64_t cells = 0;
  std::int64_t bytes = 0;
  if (rows < 0 || width < 0 || __builtin_mul_overflow(rows, width, &cells) ||
      __builtin_mul_overflow(cells, static_cast<std::int64_t>(size_of(dtype)), &bytes)) {
    throw base::DataError(fmt::format("column {}: {} rows x {} does not fit 64 bits; expected less",
                                      name, rows, width));
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kI8:
    case DType::kU8:
      return 1;
    case DType::kI16:
      return 2;
    case DType::kI32:
    case DType::kF32:
      return 4;
    case DType::kI64:
    case DType::kF64:
      break;
  }
  return 8;
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kI8:
      return "int8";
    case DType::kU8:
      return "uint8";
    case DType::kI16:
      return "int16";
    case DType::kI32:
      return "int32";
    case DType::kI64:
      return "int64";
    case DType::kF32:
      return "float32";
    case DType::kF64:
      break;
  }
  return "float64";
}

const char* name_of(Per per) {
  switch (per) {
    case Per::kGraph:
      return "graph";
    case Per::kNode:
      return "node";
    case Per::kEdge:
      return "edge";
    case Per::kPair:
      break;
  }
  return "pair";
}

std::size_t Column::bytes() const {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width) * size_of(dtype);
}

Filling<void> make_column(DType dtype, std::string name, Per per, std::int64_t rows,
                          std::int64_t width) {
  const std::size_t bytes = checked_bytes(name, dtype, rows, width);
  // calloc hands out untouched zero pages for large sizes, so zeroing costs nothing up front.
  std::shared_ptr<void> memory(std::calloc(bytes + kAlignment, 1), std::free);
  if (!memory) {
    throw base::ResourceError(fmt::format("column {}: no memory for {} bytes", name, bytes));
  }
  auto address = reinterpret_cast<std::uintptr_t>(memory.get());
  address = (address + kAlignment - 1) / kAlignment * kAlignment;
  auto* data = reinterpret_cast<void*>(address);
  return {{std::move(name), per, dtype, rows, width, data, std::move(memory)}, data};
}

template <class T>
Filling<T> make_column(std::string name, Per per, std::int64_t rows, std::int64_t width) {
  Filling<void> f = make_column(dtype_of<T>(), std::move(name), per, rows, width);
  return {std::move(f.column), static_cast<T*>(f.data)};
}

template Filling<std::int8_t> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<std::uint8_t> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<std::int16_t> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<std::int32_t> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<std::int64_t> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<float> make_column(std::string, Per, std::int64_t, std::int64_t);
template Filling<double> make_column(std::string, Per, std::int64_t, std::int64_t);

DType integer_type(std::int64_t low, std::int64_t high) {
  if (low >= 0 && high <= std::numeric_limits<std::uint8_t>::max()) return DType::kU8;
  if (low >= -128 && high <= 127) return DType::kI8;
  if (low >= -32768 && high <= 32767) return DType::kI16;
  if (low >= std::numeric_limits<std::int32_t>::min() &&
      high <= std::numeric_limits<std::int32_t>::max()) {
    return DType::kI32;
  }
  return DType::kI64;
}

}  // namespace gtrain::data
