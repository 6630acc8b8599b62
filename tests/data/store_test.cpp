#include "gtrain/data/store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "data/sample.h"
#include "gtrain/base/durable.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

TEST(Store, DataSetRoundTrips) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "x.h5";
  Dataset d = sample_dataset();
  d.info.split = "random";
  write_store(path, d);
  const Dataset back = read_store(path);
  EXPECT_EQ(back.info.name, "sample");
  EXPECT_EQ(back.info.task, d.info.task);
  EXPECT_EQ(back.info.metric, "mae");
  EXPECT_EQ(back.info.split, "random");
  EXPECT_EQ(back.info.node_categories, d.info.node_categories);
  EXPECT_TRUE(back.info.undirected);
  EXPECT_EQ(back.info.hash.size(), 32U);
  for (const auto member : {&Dataset::node_start, &Dataset::edge_start, &Dataset::row_start,
                            &Dataset::source, &Dataset::node_features, &Dataset::edge_features}) {
    EXPECT_EQ(values_of<int>(back.*member), values_of<int>(d.*member));
    EXPECT_EQ((back.*member).dtype, (d.*member).dtype);
  }
  EXPECT_EQ(back.labels.width, 2);
  EXPECT_EQ(back.splits.at("random").train, d.splits.at("random").train);
  EXPECT_EQ(back.splits.at("random").valid, d.splits.at("random").valid);
  EXPECT_EQ(back.splits.at("random").test, d.splits.at("random").test);
}

TEST(Store, SchemesAndEmptyPartsOfAnyNumberRoundTrip) {
  const test::TemporaryDirectory directory;
  Dataset d = sample_dataset();
  d.splits["split0"] = {{0, 1, 2}, {}, {}};
  write_store(directory.path() / "x.h5", d);
  const Dataset back = read_store(directory.path() / "x.h5");
  EXPECT_EQ(back.splits.size(), 2U);
  EXPECT_THAT(back.splits.at("split0").train, testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(back.splits.at("split0").test.empty());
}

TEST(Store, ArraysThatDoNotFitEachOtherAreRefused) {
  const test::TemporaryDirectory directory;
  Dataset d = sample_dataset();
  d.source.rows -= 1;
  write_store(directory.path() / "x.h5", d);
  EXPECT_THAT(message_of([&] { read_store(directory.path() / "x.h5"); }),
              HasSubstr("source does not fit edge_start"));
}

TEST(Store, ColumnsReadBackOnlyUnderTheirKeyAndDataSet) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "e.h5";
  auto f = make_column<float>("random_walk", Per::kNode, 4, 2);
  f.data[5] = 0.25F;
  write_columns(path, {f.column}, "steps=2", "abc");
  EXPECT_TRUE(read_columns(path, "steps=3", "abc").empty());
  EXPECT_TRUE(read_columns(path, "steps=2", "abd").empty());
  EXPECT_TRUE(read_columns(directory.path() / "none.h5", "steps=2", "abc").empty());
  const auto back = read_columns(path, "steps=2", "abc");
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].as<float>()[5], 0.25F);
  EXPECT_THAT(message_of([&] { read_store(path); }), HasSubstr("holds 'columns'"));
}

// Flips the lowest bit of the first occurrence of `bytes`.
void flip_bit(const std::filesystem::path& path, const std::string& bytes) {
  std::string file = base::read_file(path);
  const std::size_t at = file.find(bytes);
  ASSERT_NE(at, std::string::npos);
  file[at] = static_cast<char>(file[at] ^ 1);
  write_text(path, file);
}

TEST(Store, FlippedBitInAnArrayIsRefusedBeforeItIsUsed) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "x.h5";
  const Dataset d = sample_dataset();
  write_store(path, d);
  flip_bit(path, std::string(d.row_start.as<char>(), d.row_start.bytes()));
  EXPECT_THAT(message_of([&] { read_store(path); }), HasSubstr("damaged in array 'row_start'"));
}

TEST(Store, FlippedBitInAColumnIsRefused) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "e.h5";
  auto f = make_column<float>("random_walk", Per::kNode, 4, 2);
  for (int i = 0; i < 8; ++i) f.data[i] = 0.1F * static_cast<float>(i + 1);
  write_columns(path, {f.column}, "steps=2", "abc");
  flip_bit(path, std::string(f.column.as<char>(), f.column.bytes()));
  EXPECT_THAT(message_of([&] { read_columns(path, "steps=2", "abc"); }),
              HasSubstr("damaged in array 'random_walk'"));
}

TEST(Store, NamedPipeIsRefusedWithoutWaiting) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "p.h5";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(message_of([&] { read_store(path); }), HasSubstr("not a regular file"));
}

TEST(Store, PlaceThatCannotBeWrittenIsAResourceError) {
  const test::TemporaryDirectory directory;
  EXPECT_THAT(message_of<base::ResourceError>([&] {
                write_store(directory.path() / "no" / "such" / "x.h5", sample_dataset());
              }),
              HasSubstr("x.h5"));
}

}  // namespace
}  // namespace gtrain::data
