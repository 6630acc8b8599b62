#include "gtrain/data/import.h"

#include <gmock/gmock.h>

#include <thread>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/base/durable.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

class Import : public testing::Test {
 protected:
  Import() { write_sample(folder_); }
  DatasetOptions options() const {
    DatasetOptions o;
    o.path = folder_.string();
    return o;
  }
  DatasetOptions told() const {  // what a folder without a card needs
    DatasetOptions o = options();
    o.task = "graph_regression";
    o.metric = "mae";
    o.add_inverse_edge = true;
    return o;
  }
  std::filesystem::path key(const DatasetOptions& o) {
    return cached_store(folder_, rules_for(locate(o), o));
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "my_set";
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
};

TEST_F(Import, FolderWithoutACardNamesEveryKeyThatHasToBeSaid) {
  const std::string message =
      message_of<base::RecipeError>([&] { rules_for(locate(options()), options()); });
  EXPECT_THAT(message, HasSubstr("dataset.task"));
  EXPECT_THAT(message, HasSubstr("dataset.metric"));
  EXPECT_THAT(message, HasSubstr("dataset.add_inverse_edge"));
}

TEST_F(Import, CardInTheFolderSaysItAndTheRecipeOverrides) {
  write_text(folder_ / "card.yaml",
             "name: mine\ntask: graph_regression\nmetric: mae\nsplit: random\n"
             "add_inverse_edge: true\n");
  DatasetOptions o = options();
  PackRules rules = rules_for(locate(o), o);
  EXPECT_EQ(rules.name, "mine");
  EXPECT_EQ(rules.metric, "mae");
  EXPECT_TRUE(rules.add_inverse_edge);
  o.metric = "rmse";
  o.add_inverse_edge = false;
  rules = rules_for(locate(o), o);
  EXPECT_EQ(rules.metric, "rmse");
  EXPECT_FALSE(rules.add_inverse_edge);
}

TEST_F(Import, NamedCardServesAFolderGivenByPath) {
  DatasetOptions o = options();
  o.name = "molhiv";
  const PackRules rules = rules_for(locate(o), o);
  EXPECT_EQ(rules.task, Task::kGraphBinary);
  EXPECT_EQ(rules.features, "ogb_mol");
  EXPECT_EQ(rules.name, "molhiv");
}

TEST_F(Import, UnknownNameAndMissingPathSayWhereWasLooked) {
  DatasetOptions o;
  o.name = "no-such-set";
  EXPECT_THAT(message_of<base::RecipeError>([&] { locate(o); }), HasSubstr("looked in"));
  o.path = (directory_.path() / "nowhere").string();
  EXPECT_THAT(message_of([&] { locate(o); }), HasSubstr("nowhere: does not exist"));
}

TEST_F(Import, CacheKeyFollowsWhatLinksLeadTo) {
  namespace fs = std::filesystem;
  DatasetOptions o = told();
  fs::rename(folder_ / "split", directory_.path() / "elsewhere");
  fs::create_directory_symlink(directory_.path() / "elsewhere", folder_ / "split");
  const fs::path scheme = fs::directory_iterator(directory_.path() / "elsewhere")->path();
  fs::rename(scheme, directory_.path() / "scheme");
  fs::create_directory_symlink(directory_.path() / "scheme", scheme);
  const auto first = key(o);
  std::ofstream(directory_.path() / "scheme/train.csv.gz", std::ios::app) << "x";
  EXPECT_NE(key(o), first);
}

TEST_F(Import, CacheKeyFollowsLargeFilesThatKeepTheirTimeOfWriting) {
  namespace fs = std::filesystem;
  DatasetOptions o = told();
  const fs::path large = folder_ / "raw/large.bin";
  write_text(large, std::string(std::size_t{1} << 17, 'a'));
  const auto time = fs::last_write_time(large);
  const auto first = key(o);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a tick of the file system's clock
  write_text(large, std::string(std::size_t{1} << 17, 'b'));
  fs::last_write_time(large, time);
  EXPECT_NE(key(o), first);
}

TEST_F(Import, NamesOfStoresAreNamesOfFiles) {
  DatasetOptions o = told();
  PackRules rules = rules_for(locate(o), o);
  rules.name = "a/b\nc" + std::string(300, 'd');
  const std::string file = cached_store(folder_, rules).filename().string();
  EXPECT_EQ(file.rfind("a_b_cddd", 0), 0U) << file;
  EXPECT_LT(file.size(), 200U);
}

TEST_F(Import, FeaturesOfACardAreThoseOfRecipes) {
  write_text(folder_ / "card.yaml",
             "task: graph_regression\nmetric: mae\nadd_inverse_edge: true\nfeatures: foo\n");
  EXPECT_THAT(message_of([&] { rules_for(locate(options()), options()); }),
              HasSubstr("card.yaml: features: foo: unknown; known: "));
}

TEST_F(Import, CacheKeyFollowsFilesAndRules) {
  DatasetOptions o = told();
  const auto first = key(o);
  EXPECT_EQ(key(o), first);
  o.add_inverse_edge = false;
  EXPECT_NE(key(o), first);
  o.add_inverse_edge = true;
  write_text(folder_ / "raw/edge-feat.csv.gz", gzip("1\n2\n3\n5\n"));
  EXPECT_NE(key(o), first);
}

TEST_F(Import, SeveralAtOnceLeaveOneSoundStore) {
  DatasetOptions o = told();
  const auto store = key(o);
  base::make_directory(store.parent_path());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k) {
        import_store(locate(o), rules_for(locate(o), o), store);
        EXPECT_EQ(read_store(store).graphs(), 3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(store.parent_path())) {
    ++files;
  }
  EXPECT_EQ(files, 1U);
}

}  // namespace
}  // namespace gtrain::data
