#include "gtrain/data/gzip.h"

#include <gmock/gmock.h>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

class Gzip : public testing::Test {
 protected:
  std::string read(const std::string& bytes, const InflateLimits& limits = {}) {
    write_text(path_, bytes);
    return std::string(read_text(path_, limits).view());
  }
  std::string error(const std::string& bytes, const InflateLimits& limits = {}) {
    return message_of([&] { read(bytes, limits); });
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "x.csv.gz";
};

TEST_F(Gzip, SeveralMembersWithNamesAreOneText) {
  EXPECT_EQ(read(gzip("1,2\n", "a.csv") + gzip("") + gzip("3,4\n", "b.csv")), "1,2\n3,4\n");
}

TEST_F(Gzip, ZeroPaddingAtTheEndIsAllowed) {
  EXPECT_EQ(read(gzip("1\n") + std::string(512, '\0')), "1\n");
}

TEST_F(Gzip, EveryTruncationIsRefused) {
  const std::string whole = gzip("1,2\n3,4\n5,6\n", "x.csv");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_THAT(error(whole.substr(0, n)), HasSubstr("x.csv.gz: ")) << n;
  }
}

TEST_F(Gzip, TruncationSaysSo) {
  const std::string whole = gzip("1,2\n3,4\n");
  EXPECT_THAT(error(whole.substr(0, whole.size() - 3)), HasSubstr("truncated"));
}

TEST_F(Gzip, FlippedDataFailsTheChecksum) {
  std::string whole = gzip("1,2\n3,4\n");
  whole[whole.size() - 7] = static_cast<char>(whole[whole.size() - 7] ^ 1);
  EXPECT_THAT(error(whole), HasSubstr("damaged gzip"));
}

TEST_F(Gzip, TextBehindTheLastMemberIsRefused) { error(gzip("1\n") + "garbage"); }

TEST_F(Gzip, PlainTextUnderAGzNameIsRefused) {
  EXPECT_THAT(error("1,2\n"), HasSubstr("magic number"));
}

TEST_F(Gzip, ExpansionBeyondTheCapsIsRefused) {
  const std::string bomb = gzip(std::string(1 << 20, '0'));
  EXPECT_EQ(read(bomb).size(), std::size_t{1} << 20);
  EXPECT_THAT(error(bomb, {.free = 1000, .ratio = 10}), HasSubstr("inflate to more than"));
  EXPECT_THAT(error(bomb, {.free = 1 << 30, .ratio = 10, .most = 1000}),
              HasSubstr("inflate to more than 1000"));
}

TEST_F(Gzip, PlainFilesAreReadAsTheyAre) {
  const auto plain = directory_.path() / "x.csv";
  write_text(plain, "7\n");
  const Text text = read_text(plain);
  EXPECT_EQ(text.view(), "7\n");
  EXPECT_EQ(*text.end(), '\0');
}

TEST_F(Gzip, MissingFileIsADataErrorWithThePath) {
  EXPECT_THAT(message_of([&] { read_text(directory_.path() / "no.csv.gz"); }),
              HasSubstr("no.csv.gz"));
}

}  // namespace
}  // namespace gtrain::data
