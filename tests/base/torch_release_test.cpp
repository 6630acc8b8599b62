#include "gtrain/base/torch_release.h"

#include <gtest/gtest.h>

namespace gtrain::base {
namespace {

TEST(TorchRelease, IsReadFromTheTextOfTheLibrary) {
  EXPECT_EQ(torch_version_in("USE_MKL=ON, TORCH_VERSION=2.13.0, USE_CUDA=0"), "2.13.0");
  EXPECT_EQ(torch_version_in("TORCH_VERSION=2.14.1+cu130"), "2.14.1+cu130");
  EXPECT_EQ(torch_version_in("USE_MKL=ON"), "");
}

TEST(TorchRelease, IsTheSameUpToTheSecondNumber) {
  EXPECT_TRUE(same_torch_release("2.13.0", "2.13.1"));
  EXPECT_TRUE(same_torch_release("2.13.0", "2.13.0+cpu"));
  EXPECT_TRUE(same_torch_release("2.13", "2.13.4"));
  EXPECT_FALSE(same_torch_release("2.13.0", "2.1.3"));
  EXPECT_FALSE(same_torch_release("2.13.0", "2.14.0"));
  EXPECT_FALSE(same_torch_release("2.13.0", "3.13.0"));
  EXPECT_FALSE(same_torch_release("", ""));
}

}  // namespace
}  // namespace gtrain::base
