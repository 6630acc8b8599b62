#include "gtrain/data/catalog.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/data/import.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;

TEST(Catalog, ShippedCardsAreFoundFromTheProgram) {
  const auto card = find_card("molhiv");
  ASSERT_TRUE(card.has_value());
  EXPECT_EQ(card->metric, "rocauc");
  EXPECT_FALSE(find_card("no-such-set").has_value());
}

TEST(Catalog, DataIsFoundUnderTheFoldersOfTheEnvironmentByEverySpelling) {
  const test::TemporaryDirectory directory;
  const Environment environment("GTRAIN_DATA", "/nowhere:" + directory.path().string());
  write_sample(directory.path() / "mine");
  write_sample(directory.path() / "ogbg_molsider");
  EXPECT_EQ(find_data("mine", std::nullopt), directory.path() / "mine");
  EXPECT_EQ(find_data("molsider", find_card("molsider")), directory.path() / "ogbg_molsider");
  write_text(directory.path() / "stored.h5", "x");
  EXPECT_EQ(find_data("stored", std::nullopt), directory.path() / "stored.h5");
  EXPECT_EQ(find_data("other", std::nullopt), std::nullopt);
}

TEST(Catalog, ShippedSetsAreTakenFromTheNamedShareDirectory) {
  const test::TemporaryDirectory directory;
  const Environment environment("GTRAIN_SHARE", directory.path().string());
  std::filesystem::create_directories(directory.path() / "recipes");
  write_sample(directory.path() / "datasets" / "mine");
  write_text(directory.path() / "datasets" / "mine" / "card.yaml",
             "name: mine\ntask: graph_regression\nmetric: mae\nadd_inverse_edge: true\n");
  EXPECT_EQ(find_data("mine", find_card("mine")), directory.path() / "datasets" / "mine");
}

TEST(Catalog, MissingShareDirectoryMattersOnlyWhereDataIsGivenByName) {
  const test::TemporaryDirectory directory;
  const Environment environment("GTRAIN_SHARE", "/nowhere");
  EXPECT_THAT(message_of([&] { find_card("molhiv"); }), HasSubstr("$GTRAIN_SHARE"));
  write_sample(directory.path() / "mine");
  DatasetOptions options;
  options.name = "mine";
  options.path = (directory.path() / "mine").string();
  EXPECT_EQ(locate(options).path, directory.path() / "mine");
}

TEST(Catalog, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"../etc", "/etc", "a/b", "", "..", "a b"}) {
    EXPECT_THAT(message_of<base::RecipeError>([&] { find_data(name, std::nullopt); }),
                HasSubstr("dataset.name"));
  }
}

TEST(Catalog, ListNamesEveryCardOnceAndSaysWhereTheDataLies) {
  const test::TemporaryDirectory directory;
  const Environment environment("GTRAIN_DATA", directory.path().string());
  write_sample(directory.path() / "ogbg-molsider");
  const auto listings = list_datasets();
  EXPECT_TRUE(std::is_sorted(listings.begin(), listings.end(), [](const auto& a, const auto& b) {
    return a.card.name < b.card.name;
  }));
  EXPECT_THAT(describe_catalog(),
              HasSubstr("found in " + (directory.path() / "ogbg-molsider").string()));
  EXPECT_THAT(describe_catalog(), HasSubstr("not on this machine; from "));
}

TEST(Catalog, CacheFolderFollowsTheEnvironment) {
  const Environment environment("GTRAIN_CACHE", "/some/cache");
  EXPECT_EQ(cache_folder(), "/some/cache");
}

}  // namespace
}  // namespace gtrain::data
