#include "gtrain/deploy/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

// The smallest zip: no entries.
std::string empty_zip() {
  std::string out("PK\5\6", 4);
  out.resize(22);
  return out;
}

TEST(Seal, IsTheEndCommentOfTheZip) {
  const std::string sealed = seal(empty_zip());
  ASSERT_EQ(sealed.size(), 22u + 44u);
  EXPECT_EQ(sealed[20], 44);
  EXPECT_EQ(sealed.substr(22, 12), "gtrain-xxh3:");
  EXPECT_NO_THROW(check_seal(sealed, "f.pt"));
}

TEST(Seal, EveryFlippedBitIsFound) {
  const std::string sealed = seal(empty_zip());
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string damaged = sealed;
    damaged[i] ^= 1;
    EXPECT_THROW(check_seal(damaged, "f.pt"), base::DataError) << i;
  }
}

TEST(Seal, ATruncatedFileHasNone) {
  const std::string sealed = seal(empty_zip());
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THROW(check_seal(sealed.substr(0, size), "f.pt"), base::DataError) << size;
  }
}

TEST(Seal, ALongerFileHasNone) {
  const std::string sealed = seal(empty_zip());
  for (const std::string tail : {"x", "\n", "PK\5\6"}) {
    EXPECT_THROW(check_seal(sealed + tail, "f.pt"), base::DataError);
  }
  EXPECT_THROW(check_seal("x" + sealed, "f.pt"), base::DataError);
}

TEST(Seal, NamesTheFile) {
  EXPECT_THAT([] { check_seal("nothing", "some/f.pt"); },
              ::testing::ThrowsMessage<base::DataError>(
                  ::testing::StartsWith("some/f.pt: has no seal at its end")));
}

TEST(Seal, OnlyGoesOntoAZipWithoutAComment) {
  EXPECT_THROW(seal("no zip"), std::invalid_argument);
  EXPECT_THROW(seal(seal(empty_zip())), std::invalid_argument);
}

}  // namespace
}  // namespace gtrain::deploy
