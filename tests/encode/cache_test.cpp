#include "gtrain/encode/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "encode/odd_dataset.h"
#include "gtrain/base/durable.h"
#include "gtrain/data/store.h"
#include "support/temporary_directory.h"

namespace gtrain::encode {
namespace {

using testing::StartsWith;

RandomWalkOptions steps(std::int64_t n) {
  RandomWalkOptions options;
  options.steps = n;
  return options;
}

TEST(EncodingCache, KeysTellEveryOptionApart) {
  LaplacianOptions plain;
  LaplacianOptions normalised;
  normalised.normalization = "sym";
  LaplacianOptions wide;
  wide.count = 9;
  EXPECT_EQ(cache_key(plain),
            "laplacian;version=1;count=8;skip=0;normalization=none;vector_norm=l2;quirks=[];");
  EXPECT_NE(cache_key(plain), cache_key(normalised));
  EXPECT_NE(cache_key(plain), cache_key(wide));
  EXPECT_NE(cache_key(DegreeOptions{}), cache_key(HopDistanceOptions{}));
}

TEST(EncodingCache, FilesStandBesideTheStoreUnderTheEncodingsName) {
  const auto path = cache_path("/data/zinc-1.h5", steps(20));
  EXPECT_EQ(path.parent_path(), "/data");
  EXPECT_THAT(path.filename().string(), StartsWith("zinc-1.random_walk-"));
  EXPECT_EQ(path.filename().string().size(), std::string("zinc-1.random_walk-.h5").size() + 16);
  EXPECT_NE(path, cache_path("/data/zinc-1.h5", steps(21)));
}

class CachedEncoding : public testing::Test {
 protected:
  // Replaces the file of `options` by other numbers under the same key, to see whether it is read.
  void plant(const EncodingOptions& options, const std::string& of) {
    auto planted = data::make_column<float>("planted", data::Per::kNode, 1, 1);
    data::write_columns(cache_path(store_, options), {planted.column}, cache_key(options), of);
  }
  std::string first_name(const EncodingOptions& options) {
    return load_or_compute(dataset_, store_, options).at(0).name;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path store_ = directory_.path() / "odd.h5";
  data::Dataset dataset_ = dataset_of(support::odd_graphs());
};

TEST_F(CachedEncoding, TheSecondReadGivesTheSameBytes) {
  const auto fresh = load_or_compute(dataset_, store_, steps(5));
  ASSERT_TRUE(std::filesystem::exists(cache_path(store_, steps(5))));
  const auto cached = load_or_compute(dataset_, store_, steps(5));
  ASSERT_EQ(cached.size(), 1U);
  EXPECT_EQ(cached[0].width, 5);
  EXPECT_EQ(std::string(cached[0].as<char>(), cached[0].bytes()),
            std::string(fresh[0].as<char>(), fresh[0].bytes()));
}

TEST_F(CachedEncoding, AFileWithThisKeyAndDataIsUsed) {
  plant(steps(5), dataset_.info.hash);
  EXPECT_EQ(first_name(steps(5)), "planted");
}

TEST_F(CachedEncoding, OtherOptionsAreComputedAnew) {
  plant(steps(5), dataset_.info.hash);
  EXPECT_EQ(first_name(steps(6)), "random_walk");
}

TEST_F(CachedEncoding, OtherDataIsComputedAnewAndReplacesTheFile) {
  plant(steps(5), "another data set's hash");
  EXPECT_EQ(first_name(steps(5)), "random_walk");
  EXPECT_EQ(first_name(steps(5)), "random_walk");
}

TEST_F(CachedEncoding, ADamagedFileIsComputedAnewAndReplaced) {
  const auto fresh = load_or_compute(dataset_, store_, steps(5));
  const auto path = cache_path(store_, steps(5));
  const std::string whole = base::read_file(path);
  std::string flipped = whole;
  flipped[whole.find(std::string(fresh[0].as<char>(), fresh[0].bytes()))] ^= 1;
  for (const std::string& damaged : {std::string(), whole.substr(0, whole.size() / 2), flipped}) {
    base::write_durable(path, damaged);
    const auto again = load_or_compute(dataset_, store_, steps(5));
    EXPECT_EQ(std::string(again[0].as<char>(), again[0].bytes()),
              std::string(fresh[0].as<char>(), fresh[0].bytes()));
    EXPECT_EQ(base::read_file(path), whole);
  }
}

TEST_F(CachedEncoding, ACacheThatCannotBeWrittenCostsNoResult) {
  std::filesystem::create_directory(cache_path(store_, steps(5)));  // stands in the way
  EXPECT_EQ(first_name(steps(5)), "random_walk");
}

}  // namespace
}  // namespace gtrain::encode
