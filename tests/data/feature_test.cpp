#include "gtrain/data/feature.h"

#include <gmock/gmock.h>

#include <numeric>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Column integers(const std::vector<std::int32_t>& values, std::int64_t width) {
  auto f = make_column<std::int32_t>("x", Per::kNode,
                                     static_cast<std::int64_t>(values.size()) / width, width);
  std::copy(values.begin(), values.end(), f.data);
  return f.column;
}

TEST(Feature, OgbTablesHaveTheirPublishedSums) {
  const auto atom = ogb_atom_categories();
  const auto bond = ogb_bond_categories();
  EXPECT_EQ(std::accumulate(atom.begin(), atom.end(), std::int64_t{0}), 174);
  EXPECT_EQ(std::accumulate(bond.begin(), bond.end(), std::int64_t{0}), 13);
}

TEST(Feature, UnstatedCategoriesAreTheLargestValuePlusOne) {
  EXPECT_THAT(categories_of(integers({0, 3, 2, 1}, 2), {}, "f"), ElementsAre(3, 4));
}

TEST(Feature, NegativeAndRealColumnsAreNumbers) {
  EXPECT_THAT(categories_of(integers({0, -3}, 1), {}, "f"), testing::IsEmpty());
  EXPECT_THAT(categories_of(make_column<float>("x", Per::kNode, 2, 1).column, {}, "f"),
              testing::IsEmpty());
}

TEST(Feature, StatedCategoriesAreChecked) {
  EXPECT_THAT(categories_of(integers({0, 3, 2, 1}, 2), {9, 9}, "f"), ElementsAre(9, 9));
  EXPECT_EQ(message_of([] {
              categories_of(integers({0, 3, 2, 4}, 2), {3, 4}, "f");
            }),
            "f (row 2): column 2 is 4; expected 0 to 3");
  EXPECT_THAT(message_of([] {
                categories_of(integers({0, 3}, 1), {3, 4}, "f");
              }),
              HasSubstr("1 columns; expected 2"));
  EXPECT_THAT(
      message_of([] { categories_of(make_column<float>("x", Per::kNode, 2, 1).column, {3}, "f"); }),
      HasSubstr("real numbers"));
}

TEST(Feature, DegreesOfTheSample) {
  Dataset d = sample_dataset();
  apply_features(d, "degree_onehot");
  EXPECT_THAT(values_of<int>(d.node_features), ElementsAre(2, 2, 2, 0, 1, 1));
  EXPECT_THAT(d.info.node_categories, ElementsAre(3));
}

TEST(Feature, DegreesAboveTheCapShareItsCategory) {
  Dataset d = sample_dataset();
  apply_features(d, "degree_onehot", 1);
  EXPECT_THAT(values_of<int>(d.node_features), ElementsAre(1, 1, 1, 0, 1, 1));
  EXPECT_THAT(d.info.node_categories, ElementsAre(2));
  Dataset wide = sample_dataset();
  apply_features(wide, "degree_onehot", 9);
  EXPECT_THAT(wide.info.node_categories, ElementsAre(10));
  EXPECT_NE(wide.info.hash, d.info.hash);
}

TEST(Feature, CategoriesBecomeColumnsOfTheirOwn) {
  Dataset d = sample_dataset();
  ASSERT_THAT(d.info.node_categories, ElementsAre(6, 6));
  apply_features(d, "one_hot");
  EXPECT_EQ(d.node_features.width, 12);
  EXPECT_TRUE(d.info.node_categories.empty());
  const auto v = values_of<float>(d.node_features);
  EXPECT_THAT(std::vector<float>(v.begin(), v.begin() + 12),
              ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(message_of<base::RecipeError>([&] { apply_features(d, "one_hot"); }),
              HasSubstr("have no categories"));
}

TEST(Feature, TablesOf2020HaveFourKindsOfChirality) {
  const auto atom = ogb_atom_categories("ogb_mol_2020");
  EXPECT_EQ(std::accumulate(atom.begin(), atom.end(), std::int64_t{0}), 173);
  EXPECT_EQ(atom[1], 4);
  EXPECT_EQ(ogb_bond_categories("ogb_mol_2020"), ogb_bond_categories());
  EXPECT_TRUE(ogb_atom_categories("numeric").empty());
}

TEST(Feature, LocalDegreeProfileIsThatOfTheNeighbours) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  // Star: 1-0, 2-0 and a tail 3-2.
  write_text(directory.path() / "raw/num-node-list.csv.gz", gzip("4\n1\n1\n"));
  write_text(directory.path() / "raw/num-edge-list.csv.gz", gzip("3\n0\n0\n"));
  write_text(directory.path() / "raw/edge.csv.gz", gzip("1,0\n2,0\n3,2\n"));
  write_text(directory.path() / "raw/edge-feat.csv.gz", gzip("1\n2\n3\n"));
  Dataset d = pack(read_folder(directory.path(), Level::kGraph), sample_rules());
  apply_features(d, "local_degree_profile");
  const auto v = values_of<float>(d.node_features);
  EXPECT_THAT(std::vector<float>(v.begin(), v.begin() + 5), ElementsAre(2, 1, 2, 1.5, 0.5));
  EXPECT_THAT(std::vector<float>(v.begin() + 20, v.begin() + 25), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_TRUE(d.info.node_categories.empty());
}

TEST(Feature, LocalDegreeProfileOfDirectedGraphsFollowsTheEdges) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  // 0 -> 1, 0 -> 2, 1 -> 2: node 0 has out-neighbours of out-degrees 1 and 0.
  write_text(directory.path() / "raw/num-edge-list.csv.gz", gzip("3\n0\n0\n"));
  write_text(directory.path() / "raw/edge.csv.gz", gzip("0,1\n0,2\n1,2\n"));
  write_text(directory.path() / "raw/edge-feat.csv.gz", gzip("1\n2\n3\n"));
  PackRules rules = sample_rules();
  rules.add_inverse_edge = false;
  Dataset d = pack(read_folder(directory.path(), Level::kGraph), rules);
  apply_features(d, "local_degree_profile");
  const auto v = values_of<float>(d.node_features);
  EXPECT_THAT(std::vector<float>(v.begin(), v.begin() + 15),
              ElementsAre(2, 0, 1, 0.5, 0.5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(Feature, ConstantIsOneCategoryAndChangesTheHash) {
  Dataset d = sample_dataset();
  d.info.hash = "h";
  apply_features(d, "constant");
  EXPECT_THAT(d.info.node_categories, ElementsAre(1));
  EXPECT_EQ(d.node_features.rows, 6);
  EXPECT_NE(d.info.hash, "h");
}

TEST(Feature, NumericKeepsTheColumnAndDropsTheCategories) {
  Dataset d = sample_dataset();
  ASSERT_FALSE(d.info.node_categories.empty());
  apply_features(d, "numeric");
  EXPECT_TRUE(d.info.node_categories.empty());
  EXPECT_TRUE(d.node_features.integer());
}

TEST(Feature, OneMistypedCategoryDoesNotAskForAGiantTable) {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  write_text(directory.path() / "raw/node-feat.csv.gz", gzip("0\n1\n2000000000\n3\n4\n5\n"));
  const Folder folder = read_folder(directory.path(), Level::kGraph);
  EXPECT_THAT(message_of([&] { pack(folder, sample_rules()); }),
              HasSubstr("node-feat.csv.gz (row 3): column 1 is 2000000000; expected 0 to 99999999 "
                        "(or dataset.features: numeric"));
  PackRules numeric = sample_rules();
  numeric.features = "numeric";
  EXPECT_TRUE(pack(folder, numeric).info.node_categories.empty());
}

TEST(Feature, UnknownNameIsARecipeError) {
  Dataset d = sample_dataset();
  EXPECT_THAT(message_of<base::RecipeError>([&] { apply_features(d, "magic"); }),
              HasSubstr("dataset.features: magic"));
}

}  // namespace
}  // namespace gtrain::data
