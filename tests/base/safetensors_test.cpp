#include "gtrain/base/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "support/temporary_directory.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string container(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes += static_cast<char>((std::uint64_t{header.size()} >> (8 * i)) & 0xff);
  }
  return bytes + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

class SafetensorsFile : public testing::Test {
 protected:
  Safetensors read(const std::string& bytes, bool require_hashes = false) const {
    return parse_safetensors(bytes, path_, require_hashes);
  }

  void expect_refused(const std::string& bytes, const std::string& because) const {
    try {
      read(bytes);
      FAIL() << "accepted; expected: " << because;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(),
                  testing::AllOf(testing::HasSubstr(path_.string()), testing::HasSubstr(because)));
    }
  }

  Safetensors sample() const {
    return {.tensors = {{"a.weight", {"F32", {2, 2}, floats({1, 2, 3, 4})}},
                        {"b", {"U8", {3}, "xyz"}},
                        {"count", {"I64", {}, std::string(8, '\1')}},
                        {"empty", {"F64", {0, 5}, ""}}},
            .metadata = {{"epoch", "3"}, {"recipe", "model:\n  name: \"gps\" \xc3\xa9\n"}}};
  }

  test::TemporaryDirectory directory_;
  fs::path path_ = directory_.path() / "x.safetensors";
};

TEST_F(SafetensorsFile, ReadsBackWhatWasWritten) {
  write_safetensors(path_, sample());
  const Safetensors back = read_safetensors(path_, true);
  EXPECT_EQ(back.metadata, sample().metadata);
  ASSERT_EQ(back.tensors.size(), sample().tensors.size());
  for (const auto& [name, tensor] : sample().tensors) {
    EXPECT_EQ(back.tensors.at(name).dtype, tensor.dtype);
    EXPECT_EQ(back.tensors.at(name).shape, tensor.shape);
    EXPECT_EQ(back.tensors.at(name).bytes, tensor.bytes);
  }
}

TEST_F(SafetensorsFile, ReadsBackAnEmptyContent) {
  write_safetensors(path_, {});
  EXPECT_TRUE(read_safetensors(path_, true).tensors.empty());
}

TEST_F(SafetensorsFile, WritesTheSameBytesForTheSameContent) {
  write_safetensors(path_, sample());
  const std::string first = read_file(path_);
  write_safetensors(path_, sample());
  EXPECT_EQ(read_file(path_), first);
}

TEST_F(SafetensorsFile, StartsTheDataAtAMultipleOf64AndAlignsEachElement) {
  write_safetensors(path_, sample());
  const std::string bytes = read_file(path_);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ((header + 8) % 64, 0U);
  // The eight-byte integer lies first, the single bytes last.
  EXPECT_EQ(bytes.substr(8 + header, 8), std::string(8, '\1'));
  EXPECT_EQ(bytes.substr(bytes.size() - 3), "xyz");
}

TEST_F(SafetensorsFile, EveryFlippedBitIsNoticed) {
  write_safetensors(path_, sample());
  const std::string good = read_file(path_);
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    std::string bad = good;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_THROW(read(bad, true), DataError) << "bit " << i % 8 << " of byte " << i / 8;
  }
}

TEST_F(SafetensorsFile, EveryTruncationIsNoticed) {
  write_safetensors(path_, sample());
  const std::string good = read_file(path_);
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_THROW(read(good.substr(0, n)), DataError) << n << " bytes";
  }
  EXPECT_THROW(read(good + "x"), DataError);
}

TEST_F(SafetensorsFile, ForeignFileWithoutHashesIsReadUnlessHashesAreRequired) {
  const std::string bytes =
      container("{" + entry("w", "F32", "[2]", 0, 8) + "}  ", floats({1.5F, -2}));
  EXPECT_EQ(read(bytes).tensors.at("w").bytes, floats({1.5F, -2}));
  EXPECT_THROW(read(bytes, true), DataError);
}

TEST_F(SafetensorsFile, TensorsMayStandInAnyOrderOfTheirData) {
  const std::string header =
      "{" + entry("a", "U8", "[2]", 2, 4) + "," + entry("b", "U8", "[2]", 0, 2) + "}";
  const Safetensors content = read(container(header, "0123"));
  EXPECT_EQ(content.tensors.at("a").bytes, "23");
  EXPECT_EQ(content.tensors.at("b").bytes, "01");
}

TEST_F(SafetensorsFile, RefusesAHeaderLongerThanTheFile) {
  expect_refused(std::string("\xff\0\0\0\0\0\0\0{}", 10), "header length 255");
  expect_refused(std::string("\0\0\0\0\0\0\0\x80{}", 10), "header length");
}

TEST_F(SafetensorsFile, RefusesAHeaderThatIsNoObject) {
  expect_refused(container(" {}", ""), "opening brace");
  expect_refused(container("{\"a\":", ""), "header: ");
  expect_refused(container("{\"a\":[[[[[1]]]]]}", ""), "nested deeper");
  expect_refused(container(std::string("{}\0}", 4), ""), "zero byte");
}

TEST_F(SafetensorsFile, RefusesDuplicateKeysAtEveryLevel) {
  const std::string w = entry("w", "U8", "[1]", 0, 1);
  expect_refused(container("{" + w + "," + w + "}", "x"), "'w' stands twice");
  expect_refused(
      container("{\"w\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
                "x"),
      "'dtype' stands twice");
}

TEST_F(SafetensorsFile, RefusesOverlapsGapsAndLeftOverBytes) {
  const std::string a = entry("a", "U8", "[2]", 0, 2);
  expect_refused(container("{" + a + "," + entry("b", "U8", "[2]", 1, 3) + "}", "012"), "inside");
  expect_refused(container("{" + a + "," + entry("b", "U8", "[1]", 3, 4) + "}", "0123"), "gap");
  expect_refused(container("{" + a + "}", "012"), "3 bytes of data");
}

TEST_F(SafetensorsFile, RefusesSizesThatDoNotFitTheShape) {
  expect_refused(container("{" + entry("a", "F32", "[2]", 0, 4) + "}", "0123"), "need 8");
  expect_refused(container("{" + entry("a", "U8", "[2]", 2, 0) + "}", "01"), "begin <= end");
  expect_refused(container("{" + entry("a", "U8", "[-2]", 0, 2) + "}", "01"), "integers from 0");
  expect_refused(container("{" + entry("a", "U8", "[2.0]", 0, 2) + "}", "01"), "integers from 0");
  expect_refused(container("{" + entry("a", "F64", "[4294967296,4294967296,2]", 0, 0) + "}", ""),
                 "bytes");
}

TEST_F(SafetensorsFile, RefusesUnknownTypesAndMissingFields) {
  expect_refused(container("{" + entry("a", "F8", "[1]", 0, 1) + "}", "0"), "dtype \"F8\"");
  expect_refused(container("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", "0"), "exactly dtype");
  expect_refused(container("{\"__metadata__\":{\"a\":1}}", ""), "no string");
}

TEST_F(SafetensorsFile, WriterRefusesWhatTheReaderWouldRefuse) {
  Safetensors wrong_size;
  wrong_size.tensors["a"] = {"F32", {2}, "1234"};
  EXPECT_THROW(write_safetensors(path_, wrong_size), std::invalid_argument);
  Safetensors reserved_key;
  reserved_key.metadata["xxh3"] = "0";
  EXPECT_THROW(write_safetensors(path_, reserved_key), std::invalid_argument);
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
}  // namespace gtrain::base
