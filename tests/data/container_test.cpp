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
  std::string error(const std::string& bytes) {
    write_text(path_, bytes);
    return message_of([&] { read_container(path_, "columns"); });
  }

  // Flips bits of one byte in place, reads, and puts the byte back.
  std::string error_with(std::size_t byte, int bits) {
    const auto put = [&](int value) {
      std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(byte));
      file.put(static_cast<char>(value));
    };
    put(bytes_[byte] ^ bits);
    std::string message = message_of([&] { read_container(path_, "columns"); });
    put(bytes_[byte]);
    return message;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "x.h5";
  std::string bytes_;
};

TEST_F(ContainerTest, RoundTrips) {
  const Container back = read_container(path_, "columns");
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
  const std::string before = read_container(path_, "columns").hash;
  Container other = small();
  auto a = make_column<std::int32_t>("a", Per::kNode, 3, 2);
  other.arrays[0] = a.column;
  write_container(path_, other);
  EXPECT_NE(read_container(path_, "columns").hash, before);
}

TEST_F(ContainerTest, FlippedBitsAreDetectedAllOverTheFile) {
  // Every byte of the user block, then every third: each costs an open.
  for (std::size_t i = 0; i < bytes_.size(); i += i < 512 ? 1 : 3) {
    ASSERT_THAT(error_with(i, 1 << (i % 8)), HasSubstr("x.h5: ")) << "byte " << i;
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
  EXPECT_THAT(error(damaged), HasSubstr("damaged in array 'a' (bytes"));
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

// Somebody who computes all hashes anew can still not lead a reader out of the file.
TEST_F(ContainerTest, ShapeThatOverflowsIsRefusedUnderSoundHashes) {
  Container padded;
  padded.kind = "columns";
  padded.facts.text = {{"pad", "0123456789abcdefghij"}};
  padded.arrays = {small().arrays[0]};  // 3 x 2 numbers of 4 bytes
  write_container(path_, padded);
  std::string file = base::read_file(path_);
  const Column array = read_container(path_, "columns").arrays.at(0);
  const std::size_t begin = file.find(std::string(array.as<char>(), array.bytes()), 512);
  std::uint64_t place[2];  // of the index: offset, size
  std::memcpy(place, file.data() + 24, sizeof place);
  std::string index = file.substr(place[0], place[1]);
  const auto put = [&](const std::string& from, const std::string& to) {
    index.replace(index.find(from), from.size(), to);
  };
  put("\"rows\": 3", "\"rows\": 2305843009213693955");  // times 8 is 24 modulo 2^64
  put("0123456789abcdefgh", "");
  ASSERT_EQ(index.size(), place[1]);
  file.replace(place[0], place[1], index);
  const auto seal = [&](std::size_t at, const std::string& of) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(of.data(), of.size()));
    std::memcpy(file.data() + at, &hash, sizeof hash);
  };
  seal(40, index);
  seal(56, file.substr(512, begin - 512) + file.substr(begin + array.bytes()));
  seal(496, file.substr(0, 496));
  EXPECT_THAT(error(file), HasSubstr("an array whose size does not fit its shape: a"));
}

TEST_F(ContainerTest, ForeignFilesAreRefused) {
  EXPECT_THAT(error(std::string(4096, 'x')), HasSubstr("magic number"));
  EXPECT_THAT(error("\x89HDF\r\n\x1a\n" + std::string(4096, '\0')),
              HasSubstr("an HDF5 file that gtrain did not write"));
  EXPECT_THAT(message_of([&] { read_container(directory_.path() / "no.h5", "columns"); }),
              HasSubstr("no.h5: cannot be read"));
  EXPECT_THAT(message_of([&] { read_container(directory_.path(), "columns"); }),
              HasSubstr("not a regular file"));
}

TEST_F(ContainerTest, OtherKindIsRefused) {
  EXPECT_THAT(message_of([&] { read_container(path_, "dataset"); }),
              HasSubstr("holds 'columns', not 'dataset'"));
}

TEST_F(ContainerTest, MappingOutlivesTheNameOfTheFile) {
  const Container back = read_container(path_, "columns");
  write_container(path_, Container{"columns", {}, {}, ""});
  EXPECT_THAT(values_of<int>(back.arrays[0]), testing::ElementsAre(-2, -1, 0, 1, 2, 3));
}

}  // namespace
}  // namespace gtrain::data
