#include "gtrain/data/open.h"

#include <gmock/gmock.h>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/data/feature.h"
#include "gtrain/data/report.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Open : public testing::Test {
 protected:
  Open() {
    base::set_quiet(true);
    write_sample(folder_);
    options_.path = folder_.string();
    options_.task = "graph_regression";
    options_.metric = "mae";
    options_.add_inverse_edge = true;
  }
  ~Open() override { base::set_quiet(false); }

  test::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "my_set";
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
  DatasetOptions options_;
};

TEST_F(Open, ImportsOnceAndReadsTheCacheAfterwards) {
  const Opened first = open_dataset(options_);
  const auto time = std::filesystem::last_write_time(first.store);
  const Opened second = open_dataset(options_);
  EXPECT_EQ(second.store, first.store);
  EXPECT_EQ(std::filesystem::last_write_time(second.store), time);
  EXPECT_EQ(second.dataset.info.hash, first.dataset.info.hash);
  EXPECT_EQ(second.dataset.info.name, "my_set");
  EXPECT_EQ(first.default_split, "random");
}

TEST_F(Open, DamagedCacheIsMadeAgain) {
  const Opened first = open_dataset(options_);
  std::string bytes = base::read_file(first.store);
  bytes[600] = static_cast<char>(bytes[600] ^ 1);
  write_text(first.store, bytes);
  EXPECT_EQ(open_dataset(options_).dataset.info.hash, first.dataset.info.hash);
}

TEST_F(Open, ACachedStoreOfAnotherSetIsMadeAgain) {
  const Opened own = open_dataset(options_);
  DatasetOptions other = options_;
  other.name = "other";
  const Opened foreign = open_dataset(other);
  ASSERT_NE(own.store, foreign.store);
  std::filesystem::copy_file(foreign.store, own.store,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(open_dataset(options_).dataset.info.name, own.dataset.info.name);
}

TEST_F(Open, StoreGivenByPathIsRefusedWhenDamagedAndNotTouched) {
  const auto path = directory_.path() / "x.h5";
  import_folder(options_, path);
  std::string bytes = base::read_file(path);
  bytes[600] = static_cast<char>(bytes[600] ^ 1);
  write_text(path, bytes);
  options_.path = path.string();
  EXPECT_THAT(message_of([&] { open_dataset(options_); }), HasSubstr("x.h5: damaged"));
  EXPECT_EQ(base::read_file(path), bytes);
}

TEST_F(Open, StoreNeedsNothingSaidAndTakesOverrides) {
  const auto path = directory_.path() / "x.h5";
  write_text(folder_ / "raw/graph-label.csv.gz", gzip("0\n1\n1\n"));
  import_folder(options_, path);
  DatasetOptions o;
  o.path = path.string();
  EXPECT_EQ(open_dataset(o).dataset.info.metric, "mae");
  o.task = "graph_class";
  o.metric = "acc";
  const Dataset d = open_dataset(o).dataset;
  EXPECT_EQ(d.info.classes, 2);
  EXPECT_EQ(d.info.metric, "acc");
  EXPECT_EQ(d.labels.dtype, DType::kI64);
  o.task = "node_class";
  EXPECT_THAT(message_of<base::RecipeError>([&] { open_dataset(o); }),
              HasSubstr("holds labels for graph_regression"));
}

TEST_F(Open, MissingClassesOfAStoreStayMissingInAnotherTask) {
  const auto path = directory_.path() / "x.h5";
  write_text(folder_ / "raw/graph-label.csv.gz", gzip("0\n\n1\n"));
  options_.task = "graph_class";
  import_folder(options_, path);
  DatasetOptions o;
  o.path = path.string();
  for (const char* task : {"graph_regression", "graph_binary"}) {
    o.task = task;
    const Dataset d = open_dataset(o).dataset;
    EXPECT_THAT(values_of<float>(d.labels), ElementsAre(0.0F, testing::IsNan(), 1.0F)) << task;
    EXPECT_EQ(d.info.classes, 0) << task;
  }
}

TEST_F(Open, DirectedStoreIsNotSilentlyLeftAtThatWhereTheInverseIsAsked) {
  const auto path = directory_.path() / "x.h5";
  options_.add_inverse_edge = false;
  import_folder(options_, path);
  DatasetOptions o;
  o.path = path.string();
  EXPECT_NO_THROW(open_dataset(o));
  o.add_inverse_edge = true;
  EXPECT_THAT(message_of<base::RecipeError>([&] { open_dataset(o); }),
              HasSubstr("dataset.add_inverse_edge: true, but the store"));
}

TEST_F(Open, OgbsTablesHoldForAStoreToo) {
  const auto path = directory_.path() / "x.h5";
  import_folder(options_, path);
  DatasetOptions o;
  o.path = path.string();
  o.features = "ogb_mol";
  EXPECT_THAT(message_of([&] { open_dataset(o); }), HasSubstr("expected 9, one a category count"));
  write_text(folder_ / "raw/node-feat.csv.gz",
             gzip("5,0,4,5,3,0,2,0,0\n5,0,4,5,3,0,2,0,0\n5,0,4,5,3,0,2,0,0\n"
                  "5,0,4,5,3,0,2,0,0\n5,0,4,5,3,0,2,0,0\n5,0,4,5,3,0,2,0,0\n"));
  std::filesystem::remove(folder_ / "raw/edge-feat.csv.gz");
  import_folder(options_, path);
  const DatasetInfo tabled = open_dataset(o).dataset.info;
  EXPECT_EQ(tabled.node_categories, ogb_atom_categories());
  o.features.clear();
  const DatasetInfo plain = open_dataset(o).dataset.info;
  EXPECT_EQ(plain.node_categories[0], 6);
  EXPECT_NE(tabled.hash, plain.hash);
}

TEST_F(Open, FeaturesAreMadeAfterTheImport) {
  const std::string plain = open_dataset(options_).dataset.info.hash;
  options_.features = "degree_onehot";
  const Dataset d = open_dataset(options_).dataset;
  EXPECT_THAT(values_of<int>(d.node_features), ElementsAre(2, 2, 2, 0, 1, 1));
  EXPECT_NE(d.info.hash, plain);
}

TEST_F(Open, SplitsAreSelectedByNameFoldOrDefault) {
  for (const char* scheme : {"fold0", "fold1"}) {
    const auto split = folder_ / "split" / scheme;
    write_text(split / "train.csv", scheme == std::string("fold0") ? "0\n" : "1\n");
    write_text(split / "valid.csv", "");
    write_text(split / "test.csv", "2\n");
  }
  const Opened opened = open_dataset(options_);
  EXPECT_EQ(folds(opened.dataset), 2);
  DatasetOptions o;
  EXPECT_THAT(select_split(opened, o).train, ElementsAre(0)) << "the first fold stands in";
  o.split = "random";
  EXPECT_THAT(select_split(opened, o).train, ElementsAre(2));
  o.fold = 1;
  EXPECT_THAT(message_of<base::RecipeError>([&] { select_split(opened, o); }),
              HasSubstr("dataset.split: random, but dataset.fold: 1 is the split fold1"));
  o.split = "fold1";
  EXPECT_THAT(select_split(opened, o).train, ElementsAre(1));
  o.split.clear();
  EXPECT_THAT(select_split(opened, o).train, ElementsAre(1));
  o.fold = 2;
  EXPECT_THAT(message_of<base::RecipeError>([&] { select_split(opened, o); }),
              HasSubstr("dataset.fold: 2: no such fold; known splits: fold0, fold1, random"));
  o.fold = -1;
  o.split = "scafold";
  EXPECT_THAT(message_of<base::RecipeError>([&] { select_split(opened, o); }),
              HasSubstr("scafold: unknown split; known: fold0, fold1, random"));
}

TEST_F(Open, SetWithoutSplitsSaysSo) {
  std::filesystem::remove_all(folder_ / "split");
  const Opened opened = open_dataset(options_);
  EXPECT_THAT(message_of([&] { select_split(opened, {}); }), HasSubstr("has no splits"));
}

}  // namespace
}  // namespace gtrain::data
