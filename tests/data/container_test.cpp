#include "gtrain/data/container.h"

#include <gmock/gmock.h>
#include <xxhash.h>

#include <cstring>

#include "data/sample.h"
#include "gtrain/base/durable.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

Container small() {
  Container content;
  content.kind = "columns";
  content.facts.text = {{"odd \"name\"", "tab\there, \\ and ü"}};
  content.facts.numbers = {{"n", {3, -4}}, {"none", {}}};
  auto a = make_column<std::int32_t>("a", Per::kNode, 3, 2);
  for (int i = 0; i < 6; ++i) a.data[i] = i - 2;
  auto b = make_column<float>("deep/b", Per::kPair, 2, 1);
  b.data[1] = 2.5F;
  content.arrays = {a.column, b.column, make_column<std::int64_t>("c", Per::kEdge, 0, 1).column};
  return content;
}

class ContainerTest : public testing::Test {
 protected:
  ContainerTest() {
    write_container(path_, small());
    bytes_ = base::read_file(path_);
  }
  std::string error(const std::string& bytes, bool verify = false) {
    write_text(path_, bytes);
    return message_of([&] { read_container(path_, "columns", verify); });
  }

  // Flips bits of one byte in place, reads, and puts the byte back.
  std::string error_with(std::size_t byte, int bits, bool verify) {
    const auto put = [&](int value) {
      std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(byte));
      file.put(static_cast<char>(value));
    };
    put(bytes_[byte] ^ bits);
    std::string message = message_of([&] { read_container(path_, "columns", verify); });
    put(bytes_[byte]);
    return message;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "x.h5";
  std::string bytes_;
};

TEST_F(ContainerTest, RoundTrips) {
  const Container back = read_container(path_, "columns", true);
  EXPECT_EQ(back.facts.text, small().facts.text);
  EXPECT_EQ(back.facts.numbers, small().facts.numbers);
  ASSERT_EQ(back.arrays.size(), 3U);
  EXPECT_EQ(back.arrays[1].name, "deep/b");
  EXPECT_EQ(back.arrays[1].per, Per::kPair);
  EXPECT_THAT(values_of<int>(back.arrays[0]), testing::ElementsAre(-2, -1, 0, 1, 2, 3));
  EXPECT_THAT(values_of<float>(back.arrays[1]), testing::ElementsAre(0, 2.5F));
  EXPECT_EQ(back.arrays[2].rows, 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(back.arrays[0].data) % 64, 0U);
}

TEST_F(ContainerTest, SameContentGivesTheSameBytes) {
  write_container(path_, small());
  EXPECT_EQ(base::read_file(path_), bytes_);
}

TEST_F(ContainerTest, HashFollowsTheContent) {
  const std::string before = read_container(path_, "columns", false).hash;
  Container other = small();
  auto a = make_column<std::int32_t>("a", Per::kNode, 3, 2);
  other.arrays[0] = a.column;
  write_container(path_, other);
  EXPECT_NE(read_container(path_, "columns", false).hash, before);
}

TEST_F(ContainerTest, EveryFlippedByteIsDetectedByVerify) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    ASSERT_THAT(error_with(i, 1 << (i % 8), true), HasSubstr("x.h5: ")) << "byte " << i;
  }
}

TEST_F(ContainerTest, OpeningDetectsFlippedBytesOutsideTheArrays) {
  const Container whole = read_container(path_, "columns", false);
  std::vector<bool> inside(bytes_.size(), false);
  for (const Column& c : whole.arrays) {
    if (c.data == nullptr) continue;
    const std::size_t at =
        bytes_.find(std::string(static_cast<const char*>(c.data), c.bytes()), 512);
    for (std::size_t i = at / 64 * 64; i < at / 64 * 64 + 64 + c.bytes(); ++i) inside[i] = true;
  }
  for (std::size_t i = 0; i < bytes_.size(); i += 3) {
    if (inside[i]) continue;
    ASSERT_THAT(error_with(i, 0x40, false), HasSubstr("x.h5: ")) << "byte " << i;
  }
}

TEST_F(ContainerTest, EveryTruncationIsDetected) {
  for (std::size_t n = 0; n < bytes_.size(); n += n < 64 ? 1 : 97) {
    ASSERT_THAT(error(bytes_.substr(0, n)), HasSubstr("x.h5: ")) << n;
  }
  EXPECT_THAT(error(bytes_.substr(0, bytes_.size() - 1)), HasSubstr("truncated to"));
  EXPECT_THAT(error(bytes_ + "x"), HasSubstr("grown to"));
}

TEST_F(ContainerTest, DamageIsNamedWithItsPlace) {
  std::string damaged = bytes_;
  const std::size_t at = damaged.find(std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8), 512);
  damaged[at] = 0;
  EXPECT_THAT(error(damaged, true), HasSubstr("damaged in array 'a' (bytes"));
  damaged = bytes_;
  damaged[20] = 1;
  EXPECT_THAT(error(damaged), HasSubstr("damaged in the user block"));
}

TEST_F(ContainerTest, OtherVersionIsNamedWhenItsUserBlockIsSound) {
  std::string other = bytes_;
  other[8] = 7;
  XXH128_canonical_t hash;
  XXH128_canonicalFromHash(&hash, XXH3_128bits(other.data(), 496));
  std::memcpy(other.data() + 496, &hash, sizeof hash);
  EXPECT_THAT(error(other), HasSubstr("written as version 7"));
}

TEST_F(ContainerTest, ForeignFilesAreRefused) {
  EXPECT_THAT(error(std::string(4096, 'x')), HasSubstr("magic number"));
  EXPECT_THAT(error("\x89HDF\r\n\x1a\n" + std::string(4096, '\0')),
              HasSubstr("an HDF5 file that gtrain did not write"));
  EXPECT_THAT(message_of([&] { read_container(directory_.path() / "no.h5", "columns", false); }),
              HasSubstr("no.h5: cannot be read"));
  EXPECT_THAT(message_of([&] { read_container(directory_.path(), "columns", false); }),
              HasSubstr("not a regular file"));
}

TEST_F(ContainerTest, OtherKindIsRefused) {
  EXPECT_THAT(message_of([&] { read_container(path_, "dataset", false); }),
              HasSubstr("holds 'columns', not 'dataset'"));
}

TEST_F(ContainerTest, MappingOutlivesTheNameOfTheFile) {
  const Container back = read_container(path_, "columns", false);
  write_container(path_, Container{"columns", {}, {}, ""});
  EXPECT_THAT(values_of<int>(back.arrays[0]), testing::ElementsAre(-2, -1, 0, 1, 2, 3));
}

}  // namespace
}  // namespace gtrain::data
