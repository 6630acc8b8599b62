#include "gtrain/data/column.h"

#include <gmock/gmock.h>

#include <limits>

#include "data/sample.h"

namespace gtrain::data {
namespace {

TEST(Column, IsZeroedAndAlignedTo64Bytes) {
  const auto f = make_column<std::int16_t>("x", Per::kEdge, 5, 3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(f.data) % 64, 0U);
  EXPECT_EQ(f.column.dtype, DType::kI16);
  EXPECT_EQ(f.column.bytes(), 30U);
  EXPECT_THAT(values_of<int>(f.column), testing::Each(0));
}

TEST(Column, CopiesShareTheBytes) {
  auto f = make_column<float>("x", Per::kNode, 2, 1);
  const Column copy = f.column;
  f.data[1] = 3;
  f.column = {};
  EXPECT_EQ(copy.as<float>()[1], 3);
}

TEST(Column, SizeThatOverflowsIsRefused) {
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max() / 2;
  EXPECT_THAT(message_of([] { make_column<std::int64_t>("big", Per::kNode, kHuge, 3); }),
              testing::HasSubstr("big"));
}

TEST(Column, IntegerTypeIsTheSmallestThatHoldsTheRange) {
  EXPECT_EQ(integer_type(0, 255), DType::kU8);
  EXPECT_EQ(integer_type(-1, 127), DType::kI8);
  EXPECT_EQ(integer_type(-1, 128), DType::kI16);
  EXPECT_EQ(integer_type(0, 256), DType::kI16);
  EXPECT_EQ(integer_type(0, 32768), DType::kI32);
  EXPECT_EQ(integer_type(0, std::int64_t{1} << 31), DType::kI64);
}

}  // namespace
}  // namespace gtrain::data
