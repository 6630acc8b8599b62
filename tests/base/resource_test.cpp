#include "gtrain/base/resource.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "gtrain/base/error.h"
#include "support/temporary_directory.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

class ResourceRoot : public testing::Test {
 protected:
  void fill(const fs::path& at) const {
    fs::create_directories(at / "recipes");
    fs::create_directories(at / "datasets");
  }

  test::TemporaryDirectory directory_;
  fs::path root_ = directory_.path();
};

TEST_F(ResourceRoot, PrefersTheInstalledShareDirectoryToAnAncestor) {
  fill(root_ / "prefix/share/gtrain");
  fill(root_);
  EXPECT_EQ(find_resource_root(root_ / "prefix/bin/gtrain", nullptr),
            root_ / "prefix/share/gtrain");
}

TEST_F(ResourceRoot, FindsTheNearestAncestorThatHasBothDirectories) {
  fill(root_);
  fs::create_directories(root_ / "build/recipes");
  EXPECT_EQ(find_resource_root(root_ / "build/release/bin/gtrain", nullptr), root_);
}

TEST_F(ResourceRoot, ProgramsOfOthersFindThatOfTheKernelsTheyHaveLoaded) {
  fill(root_ / "prefix/share/gtrain");
  const fs::path other = root_ / "elsewhere/bin/mine";
  for (const char* lib : {"prefix/lib/libgtrain_ops.so", "prefix/lib/arch/libgtrain_ops.so"}) {
    EXPECT_EQ(find_resource_root(other, nullptr, root_ / lib), root_ / "prefix/share/gtrain");
  }
  fill(root_ / "elsewhere/share/gtrain");
  EXPECT_EQ(find_resource_root(other, nullptr, root_ / "prefix/lib/libgtrain_ops.so"),
            root_ / "elsewhere/share/gtrain");
}

TEST_F(ResourceRoot, VariableWinsOverEverything) {
  fill(root_ / "mine");
  fill(root_ / "prefix/share/gtrain");
  const std::string mine = (root_ / "mine").string();
  EXPECT_EQ(find_resource_root(root_ / "prefix/bin/gtrain", mine.c_str()), root_ / "mine");
}

TEST_F(ResourceRoot, VariableThatNamesAnotherPlaceIsRefusedByName) {
  fill(root_);
  const std::string nowhere = (root_ / "nowhere").string();
  try {
    find_resource_root(root_ / "bin/gtrain", nowhere.c_str());
    FAIL() << "accepted a directory without recipes/";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr(nowhere), testing::HasSubstr("$GTRAIN_SHARE")));
  }
}

TEST_F(ResourceRoot, EmptyVariableCountsAsUnset) {
  fill(root_);
  EXPECT_EQ(find_resource_root(root_ / "bin/gtrain", ""), root_);
}

TEST_F(ResourceRoot, ThrowsWhenNoPlaceHasThem) {
  EXPECT_THROW(find_resource_root(root_ / "bin/gtrain", nullptr), DataError);
}

TEST(ResourceRootOfThisProgram, IsTheSourceTree) {
  if (std::getenv("GTRAIN_SHARE") != nullptr) GTEST_SKIP() << "GTRAIN_SHARE is set";
  EXPECT_EQ(resource_root(), fs::canonical(GTRAIN_SOURCE_DIR));
}

}  // namespace
}  // namespace gtrain::base
