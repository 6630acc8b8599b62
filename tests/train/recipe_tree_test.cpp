#include "gtrain/train/recipe_tree.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

// Everything that is wrong with a text, whether collected or thrown.
std::string problems_of(const std::string& yaml) {
  Problems problems("r.yaml");
  try {
    parse_tree(yaml, -1, problems);
  } catch (const base::RecipeError&) {
  }
  return problems.text();
}

TEST(RecipeTree, KnowsLineAndColumnOfKeysAndValues) {
  Problems problems("r.yaml");
  const RecipeNode root = parse_tree("# note\nmodel:\n  width: 64\n", -1, problems);
  ASSERT_TRUE(problems.empty());
  const RecipeEntry* width = root.find("model")->value.find("width");
  EXPECT_EQ(width->place.line, 3);
  EXPECT_EQ(width->place.column, 3);
  EXPECT_EQ(width->value.place.column, 10);
  EXPECT_EQ(width->value.text, "64");
}

TEST(RecipeTree, TellsQuotedTextFromPlain) {
  Problems problems("r.yaml");
  const RecipeNode root = parse_tree("{a: '1', b: \"1\", c: 1, d: null, e: }", -1, problems);
  EXPECT_TRUE(root.find("a")->value.quoted);
  EXPECT_TRUE(root.find("b")->value.quoted);
  EXPECT_FALSE(root.find("c")->value.quoted);
  EXPECT_EQ(root.find("d")->value.kind, RecipeNode::Kind::kNull);
  EXPECT_EQ(root.find("e")->value.kind, RecipeNode::Kind::kNull);
}

TEST(RecipeTree, RefusesDuplicateKeysAndSaysWhereTheFirstStands) {
  EXPECT_EQ(problems_of("a: {b: 1}\nc: 2\na: 3\n"),
            "r.yaml:3:1: a: duplicate key (first on line 1)");
}

TEST(RecipeTree, RefusesAnchorsAliasesMergeKeysAndTags) {
  EXPECT_EQ(problems_of("a: &x {b: 1}\nc: *x\n"),
            "r.yaml:1:4: a: anchors (&name) are not supported; write the value out\n"
            "r.yaml:2:4: c: aliases (*name) are not supported; write the value out");
  EXPECT_EQ(problems_of("a: {<<: {b: 1}}"),
            "r.yaml:1:5: a: merge keys (<<) are not supported; write the keys out");
  EXPECT_EQ(problems_of("a: !!int 3"), "r.yaml:1:4: a: tags (!name) are not supported");
}

TEST(RecipeTree, SurvivesAnAliasToItself) {
  EXPECT_NE(problems_of("&a [*a]").find("aliases"), std::string::npos);
}

TEST(RecipeTree, RefusesASecondDocument) {
  EXPECT_EQ(problems_of("a: 1\n---\nb: 2\n"),
            "r.yaml:2:1: a second document starts here; expected one document");
}

TEST(RecipeTree, RefusesDeepNestingInEveryStyle) {
  EXPECT_NE(problems_of(std::string(40, '[')).find("nested deeper than 32"), std::string::npos);
  EXPECT_NE(problems_of(std::string(100000, '[')).find("nested deeper than 32"), std::string::npos);
  std::string block;
  for (int i = 0; i < 600; ++i) block += "- ";
  EXPECT_NE(problems_of(block).find("nested deeper than 32"), std::string::npos);
}

TEST(RecipeTree, RefusesMoreThanOneMebibyte) {
  EXPECT_NE(problems_of("a: " + std::string(1 << 20, 'x')).find("larger than 1 MiB"),
            std::string::npos);
}

TEST(RecipeTree, RefusesAMapOfVeryManyKeysQuickly) {
  std::string many;
  for (int i = 0; i < 100000; ++i) many += "k" + std::to_string(i) + ": 1\n";
  EXPECT_NE(problems_of(many).find("more than 1000 keys"), std::string::npos);
}

TEST(RecipeTree, SaysWhereItIsNotYaml) {
  EXPECT_EQ(problems_of("a: [1, 2\nb: 3\n").substr(0, 7), "r.yaml:");
  EXPECT_NE(problems_of("a: [1, 2\nb: 3\n").find("not YAML"), std::string::npos);
}

TEST(RecipeTree, SaysThatATabCannotIndent) {
  EXPECT_NE(problems_of("a:\n\tb: 1\n").find("r.yaml:2:"), std::string::npos);
  EXPECT_NE(problems_of("a:\n\tb: 1\n").find("a tab cannot indent"), std::string::npos);
}

TEST(RecipeTree, RefusesKeysThatAreNoWords) {
  EXPECT_EQ(problems_of("a: {[1]: 2}"), "r.yaml:1:5: a: a key must be a word");
}

TEST(Problems, ComeInTheOrderOfTheFileThenOfTheCommandLine) {
  Problems problems("r.yaml", {"x.y=1"});
  problems.add({0, 1, 1}, "x.y", "bad");
  problems.add({0, 1, 1}, "x.y.z", "worse");
  problems.add({-1, 9, 10}, "b", "late");
  problems.add({-1, 2, 3}, "a", "early");
  problems.add({-1, 2, 3}, "a", "early");
  EXPECT_EQ(problems.text(),
            "r.yaml:2:3: a: early\nr.yaml:9:10: b: late\ncommand line: x.y=1: bad\n"
            "command line: x.y=1: x.y.z: worse");
  EXPECT_THROW(problems.raise_if_any(), base::RecipeError);
}

TEST(Path, HasKeysAndIndices) {
  const std::vector<PathStep> steps = parse_path("encode[2].steps");
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].key, "encode");
  EXPECT_EQ(steps[1].index, 2U);
  EXPECT_EQ(steps[2].key, "steps");
}

TEST(Path, RefusesWhatIsNone) {
  for (const char* bad :
       {"", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[1]b", "a[-1]", "a[99999999999]"}) {
    EXPECT_TRUE(parse_path(bad).empty()) << bad;
  }
}

class Override : public testing::Test {
 protected:
  // The tree after overrides, and what they complained of.
  void apply(const std::string& yaml, std::vector<std::string> overrides) {
    problems = Problems("r.yaml", overrides);
    root = parse_tree(yaml, -1, problems);
    for (std::size_t i = 0; i < overrides.size(); ++i) {
      apply_override(root, overrides[i], static_cast<int>(i), problems);
    }
  }
  Problems problems{"r.yaml"};
  RecipeNode root;
};

TEST_F(Override, ReplacesAValueAndItsPlace) {
  apply("train: {epochs: 5}", {"train.epochs=7"});
  EXPECT_EQ(root.find("train")->value.find("epochs")->value.text, "7");
  EXPECT_EQ(root.find("train")->value.find("epochs")->value.place.argument, 0);
}

TEST_F(Override, MakesMissingMapsAndGrowsAListByOne) {
  apply("{}", {"a.b.c=1", "list[0].x=2", "list[1]={x: 3}"});
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ(root.find("a")->value.find("b")->value.find("c")->value.text, "1");
  EXPECT_EQ(root.find("list")->value.items.at(1).find("x")->value.text, "3");
}

TEST_F(Override, ReplacesAWholeChoice) {
  apply("schedule: {name: cosine, warmup: 5}", {"schedule={name: constant}"});
  EXPECT_EQ(root.find("schedule")->value.entries.size(), 1U);
}

TEST_F(Override, SaysWhatItCannotReach) {
  apply("{a: 1, l: [1]}", {"a.b=1", "l.x=1", "l[5]=1", "a[0]=1", "nonsense", "=1"});
  EXPECT_EQ(problems.text(),
            "command line: a.b=1: a is no map\n"
            "command line: l.x=1: l is no map\n"
            "command line: l[5]=1: l has 1 elements, so index 5 does not exist\n"
            "command line: a[0]=1: a is no list\n"
            "command line: nonsense: expected KEY=VALUE, such as train.epochs=10 or "
            "encode[0].steps=16\n"
            "command line: =1: expected KEY=VALUE, such as train.epochs=10 or encode[0].steps=16");
}

}  // namespace
}  // namespace gtrain::train
