#include "gtrain/data/image.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstring>

#include "data/sample.h"

namespace gtrain::data {
namespace {

TEST(Image, ArraysAreAlignedAndHdf5ReadsThemBack) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "x.h5";
  {
    Image image(1024);
    const std::uint64_t a = image.place("group/a", DType::kI32, 5, 1);
    const std::uint64_t b = image.place("b", DType::kU8, 3, 2);
    EXPECT_EQ(image.place("none", DType::kI64, 0, 1), 0U);
    EXPECT_EQ(a % 64, 0U);
    EXPECT_EQ(b % 64, 0U);
    char* file = image.finish();
    const std::int32_t numbers[5] = {1, 2, 3, 4, -5};
    std::memcpy(file + a, numbers, sizeof numbers);
    write_text(path, std::string(file, image.size()));
  }
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const hid_t set = H5Dopen2(file, "/group/a", H5P_DEFAULT);
  std::int32_t back[5] = {};
  EXPECT_GE(H5Dread(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), 0);
  EXPECT_EQ(back[4], -5);
  H5Dclose(set);
  H5Fclose(file);
}

}  // namespace
}  // namespace gtrain::data
