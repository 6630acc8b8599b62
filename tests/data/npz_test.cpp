#include "gtrain/data/npz.h"

#include <gmock/gmock.h>

#include <cstring>

#include "data/npz_writer.h"
#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Npz : public testing::Test {
 protected:
  std::map<std::string, Array> read(const std::string& bytes) {
    write_text(path_, bytes);
    return read_npz(path_);
  }
  std::string error(const std::string& bytes) {
    return message_of([&] { read(bytes); });
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "data.npz";
};

const std::vector<std::int64_t> kSix{1, -2, 3, 4, 5, 6};

TEST_F(Npz, StoredAndDeflatedArraysRead) {
  for (const bool deflated : {false, true}) {
    const auto arrays = read(zip({{"a.npy", npy("<i8", "(2, 3)", kSix)}}, deflated));
    const Array& a = arrays.at("a");
    EXPECT_THAT(a.shape, ElementsAre(2, 3));
    EXPECT_EQ(a.values.rows, 2);
    EXPECT_THAT(values_of<int>(a.values), ElementsAre(1, -2, 3, 4, 5, 6));
  }
}

TEST_F(Npz, VersionTwoHeadersRead) {
  const auto arrays = read(zip({{"a.npy", npy("<i8", "(6,)", kSix, false, 2)}}, false));
  EXPECT_EQ(arrays.at("a").values.rows, 6);
}

TEST_F(Npz, ObjectArraysFortranOrderAndForeignTypesAreRefusedByName) {
  EXPECT_THAT(error(zip({{"a.npy", npy("|O", "(6,)", kSix)}}, false)), HasSubstr("pickles"));
  EXPECT_THAT(error(zip({{"a.npy", npy("<i8", "(2, 3)", kSix, true)}}, false)),
              HasSubstr("data.npz: a: Fortran order"));
  EXPECT_THAT(error(zip({{"a.npy", npy(">i8", "(6,)", kSix)}}, false)), HasSubstr("little-endian"));
}

TEST_F(Npz, ShapeThatDoesNotFitTheBytesIsRefused) {
  EXPECT_THAT(error(zip({{"a.npy", npy("<i8", "(7,)", kSix)}}, false)), HasSubstr("56 bytes"));
  EXPECT_THAT(error(zip({{"a.npy", npy("<i8", "(4611686018427387904, 4611686018427387904)", kSix)}},
                        false)),
              HasSubstr("a: "));
}

TEST_F(Npz, SameNameTwiceIsRefused) {
  const std::string a = npy("<i8", "(6,)", kSix);
  EXPECT_THAT(error(zip({{"a.npy", a}, {"a.npy", a}}, false)), HasSubstr("twice"));
}

TEST_F(Npz, NamesAreTheSameInBothPlaces) {
  std::string whole = zip({{"edge_feat.npy", npy("<i8", "(6,)", kSix)}}, false);
  whole[whole.rfind("edge_feat") + 8] = 'u';  // in the directory at the end
  EXPECT_THAT(error(whole), HasSubstr("edge_feau.npy: called otherwise where it is"));
}

TEST_F(Npz, EveryTruncationIsRefused) {
  const std::string whole = zip({{"a.npy", npy("<i8", "(2, 3)", kSix)}}, true);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_THAT(error(whole.substr(0, n)), HasSubstr("data.npz")) << n;
  }
}

TEST_F(Npz, FlippedDataFailsTheChecksum) {
  std::string whole = zip({{"a.npy", npy("<i8", "(6,)", kSix)}}, false);
  const std::size_t at = whole.find("\x93NUMPY") + 128 + 3;
  whole[at] = static_cast<char>(whole[at] ^ 4);
  EXPECT_THAT(error(whole), HasSubstr("CRC"));
}

}  // namespace
}  // namespace gtrain::data
