#include "gtrain/train/recipe_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "gtrain/data/stand_in.h"
#include "gtrain/models/gps.h"
#include "gtrain/train/loss.h"
#include "gtrain/train/metric.h"
#include "support/temporary_directory.h"

namespace gtrain::train {
namespace {

const char* const kGood = R"(dataset: {name: zinc}
encode: [{name: random_walk, steps: 20}]
model:
  name: gps
  width: 64
  heads: 4
  node: {name: type, count: 28}
  edge: {name: constant}
  encoders: [{of: random_walk, kind: linear, dim: 28}]
  head: {name: mlp}
train: {epochs: 20, schedule: {name: cosine, warmup: 5}}
)";

std::string problems_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    parse_recipe(yaml, "r.yaml", overrides);
  } catch (const base::RecipeError& e) {
    return e.what();
  }
  return {};
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Recipe, ManyMistakesAreAllNamedWithPlaceAndSuggestion) {
  const std::string problems = problems_of(R"(dataset: {name: zinc, batch_size: 0, batchsize: 3}
encode: [{name: randomwalk}, {steps: 16}, {name: laplacian, count: 010}]
model:
  name: gps
  widht: 64
  layers: "10"
  local: gien
  dropout: yes
  attention_dropout: .nan
  node: {name: type, count: 0x10}
  name: gps
train: {epochs: 1e3, optimizer: {name: adamm}, schedule: {name: cosine, warmup: -1}}
select: bset
repeat: {seeds: 3}
)",
                                           {"train.clip_norm=high", "train.stop.hour=3"});
  for (const char* line :
       {"r.yaml:1:35: dataset.batch_size: must be ",
        "r.yaml:1:38: dataset.batchsize: unknown key (did you mean batch_size?); known: ",
        "r.yaml:2:17: encode[0].name: unknown value randomwalk (did you mean random_walk?); "
        "known: ",
        "r.yaml:2:30: encode[1]: key name is missing; choose one of random_walk, laplacian",
        "r.yaml:2:68: encode[2].count: expected an integer, got 010 (leading zeros",
        "r.yaml:5:3: model.widht: unknown key (did you mean width?); known: name, width, layers",
        "r.yaml:6:11: model.layers: expected an integer, got \"10\" (write it without quotes)",
        "r.yaml:7:10: model.local: unknown value gien (did you mean gine?); known: ",
        "r.yaml:8:12: model.dropout: expected a number, got yes",
        "r.yaml:9:22: model.attention_dropout: expected a finite number, got .nan",
        "r.yaml:10:29: model.node.count: expected an integer, got 0x10",
        "r.yaml:11:3: model.name: duplicate key (first on line 4)",
        "r.yaml:12:17: train.epochs: expected an integer, got 1e3",
        "r.yaml:12:40: train.optimizer.name: unknown value adamm (did you mean adam",
        "r.yaml:12:81: train.schedule.warmup: must be between 0 and ",
        "r.yaml:13:9: select: unknown value bset (did you mean best?); known: best, last",
        "r.yaml:14:17: repeat.seeds: expected a list such as [0, 1, 2] or a range such as 0..9",
        "command line: train.clip_norm=high: expected a number, got high",
        "command line: train.stop.hour=3: unknown key (did you mean hours?)"}) {
    EXPECT_NE(("\n" + problems).find(std::string("\n") + line), std::string::npos)
        << "missing: " << line << "\nin:\n"
        << problems;
  }
}

TEST(Recipe, OverridesWinOverTheFile) {
  const Recipe recipe =
      parse_recipe(kGood, "r",
                   {"train.epochs=7", "encode[0].steps=16", "train.schedule={name: constant}",
                    "repeat.seeds=0..2", "dataset.path=../data/zinc", "model.encoders[0].dim=16"});
  EXPECT_EQ(recipe.train.epochs, 7);
  EXPECT_EQ(std::get<encode::RandomWalkOptions>(recipe.encode.at(0)).steps, 16);
  EXPECT_TRUE(std::holds_alternative<ConstantSchedule>(recipe.train.schedule));
  EXPECT_EQ(recipe.repeat.seeds, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(recipe.dataset.path, "../data/zinc");
}

TEST(Recipe, ConstraintBrokenByAnOverrideIsSaidOfTheCommandLine) {
  EXPECT_EQ(problems_of(kGood, {"train.schedule.warmup=20"}),
            "command line: train.schedule.warmup=20: must be less than train.epochs (20), got 20");
}

TEST(Recipe, StandardisedColumnsHaveAMeanAndAPositiveDeviationEach) {
  EXPECT_EQ(problems_of(kGood, {"model.node={name: standardised, mean: [1, 2], std: [3, 4]}"}), "");
  EXPECT_NE(problems_of(kGood, {"model.node={name: standardised, mean: [1, 2], std: [3]}"})
                .find("has 1 entries; mean has 2"),
            std::string::npos);
  EXPECT_NE(problems_of(kGood, {"model.node={name: standardised, mean: [1], std: [0]}"})
                .find("must be at least 1e-12"),
            std::string::npos);
}

TEST(Recipe, NetworksWithoutEdgeVectorsTakeIdleEdgesAndWholeLayersNoNorm) {
  const auto network = [&](const std::string& keys) {
    return problems_of(kGood, {"model={name: mpnn, width: 64, node: {name: type, count: 28}, "
                               "head: {name: wide, layers: 2, dropout: 0.1}, " +
                               keys + "}"});
  };
  EXPECT_EQ(network("local: gcn, edge: {name: idle}"), "");
  EXPECT_NE(network("local: gcn, edge: {name: constant}").find("expected name: none or idle"),
            std::string::npos);
  EXPECT_NE(network("local: gine, edge: {name: idle}").find("gine needs edge vectors"),
            std::string::npos);
  EXPECT_EQ(network("local: residual_gine, edge: {name: constant}"), "");
  EXPECT_NE(network("local: residual_gine, norm: batch, edge: {name: constant}")
                .find("residual_gine has its own norm, activation and residual"),
            std::string::npos);
}

TEST(Recipe, DumpReadsBackEqual) {
  for (const std::string& name : shipped_recipes()) {
    const std::string text = dump_recipe(load_recipe(find_recipe(name), {}));
    EXPECT_EQ(dump_recipe(parse_recipe(text, name, {})), text) << name;
  }
}

TEST(Recipe, EveryShippedRecipeIsGoodAndShort) {
  ASSERT_GE(shipped_recipes().size(), 11U);
  for (const std::string& name : shipped_recipes()) {
    EXPECT_NO_THROW(load_recipe(find_recipe(name), {})) << name;
    const std::string text = read(find_recipe(name));
    EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 60) << name;
    EXPECT_EQ(text.substr(0, text.find('\n')), "# gtrain --recipe " + name);
  }
}

TEST(Recipe, PublishedGpsSettingsAreThosePublished) {
  const Recipe zinc = load_recipe(find_recipe("zinc/gps"), {});
  const auto& gps = *zinc.model.get_if<models::GpsOptions>();
  EXPECT_EQ(gps.layers, 10);
  EXPECT_EQ(gps.attention_dropout, 0.5);
  EXPECT_EQ(zinc.train.epochs, 2000);
  EXPECT_EQ(std::get<CosineSchedule>(zinc.train.schedule).warmup, 50);
  EXPECT_EQ(zinc.published->values.at("parameters"), 423717);
  const Recipe texas = load_recipe(find_recipe("texas/gps"), {});
  EXPECT_EQ(texas.repeat.folds.size(), 10U);
  EXPECT_EQ(texas.train.eval_every, 5);
}

TEST(Recipe, HashForgetsRepeatsAndPublishedValuesAndNothingElse) {
  const std::string hash = recipe_hash(parse_recipe(kGood, "r", {}));
  EXPECT_EQ(hash.size(), 32U);
  EXPECT_EQ(recipe_hash(parse_recipe(kGood, "other", {"repeat.seeds=[5]", "published.mae=1"})),
            hash);
  EXPECT_EQ(recipe_hash(parse_recipe(kGood, "r", {"train.steps=0"})), hash);
  EXPECT_NE(recipe_hash(parse_recipe(kGood, "r", {"train.epochs=21"})), hash);
  EXPECT_NE(recipe_hash(parse_recipe(kGood, "r", {"select=last"})), hash);
}

TEST(FindRecipe, TakesAPathAShippedNameAndSuggestsOtherwise) {
  test::TemporaryDirectory directory;
  const auto file = directory.path() / "mine.yaml";
  std::ofstream(file) << kGood;
  EXPECT_EQ(find_recipe(file.string()), file);
  EXPECT_EQ(find_recipe("zinc/gps").filename(), "gps.yaml");
  for (const char* name : {"zinc/gsp", "../recipes/zinc/gps", "/etc", "", "zinc"}) {
    try {
      find_recipe(name);
      ADD_FAILURE() << "found " << name;
    } catch (const base::RecipeError& e) {
      EXPECT_NE(std::string(e.what()).find("shipped: actor/gps"), std::string::npos) << e.what();
    }
  }
  try {
    find_recipe("zinc/gsp");
  } catch (const base::RecipeError& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean zinc/gps?"), std::string::npos) << e.what();
  }
}

TEST(LoadRecipe, RefusesADirectoryAndAHugeFile) {
  test::TemporaryDirectory directory;
  EXPECT_THROW(load_recipe(directory.path(), {}), base::RecipeError);
  const auto huge = directory.path() / "huge.yaml";
  std::ofstream(huge) << "# " << std::string(2 << 20, 'x');
  EXPECT_THROW(load_recipe(huge, {}), base::RecipeError);
}

TEST(RecipeName, IsTheShippedNameOrTheFileName) {
  EXPECT_EQ(recipe_name(find_recipe("zinc/gps")), "zinc-gps");
  EXPECT_EQ(recipe_name(find_recipe("quickstart")), "quickstart");
  EXPECT_EQ(recipe_name("/somewhere/else/my recipe.yaml"), "my-recipe");
}

TEST(ParseDataRecipe, ReadsDataAndEncodingsOfARecipeWithAModelOfSomebodyElse) {
  const std::string text =
      "dataset: {name: zinc, batch_size: 9}\n"
      "encode: [{name: random_walk, steps: 5}]\n"
      "model: {name: elsewhere, depth: 3}\n"
      "train: {nosuch: 1}\n";
  EXPECT_THROW(parse_recipe(text, "file", {}), base::RecipeError);
  const Recipe recipe = parse_data_recipe(text, "file", {"dataset.max_nodes=7"});
  EXPECT_EQ(recipe.dataset.batch_size, 9);
  EXPECT_EQ(recipe.dataset.max_nodes, 7);
  EXPECT_EQ(encode::width_of(recipe.encode.at(0)), 5);
  EXPECT_THROW(parse_data_recipe(text, "file", {"dataset.nosuch=7"}), base::RecipeError);
}

TEST(ParseDataset, TakesAPathOrANameAndOverrides) {
  test::TemporaryDirectory directory;
  const data::DatasetOptions at =
      parse_dataset(directory.path().string(), {"dataset.task=graph_binary"});
  EXPECT_EQ(at.path, directory.path().string());
  EXPECT_EQ(at.task, "graph_binary");
  EXPECT_EQ(parse_dataset("zinc", {}).name, "zinc");
  EXPECT_THROW(parse_dataset("zinc", {"model.width=3"}), base::RecipeError);
}

// A recipe with characters, lines and tokens changed at random is refused or read, never a crash.
TEST(Recipe, MutatedTextIsRefusedOrRead) {
  const std::vector<std::string> tokens = {
      "{",   "}",      "[",    "]",    ": ", "- ", "\n", "  ",  "&a ", "*a",   "<<",
      "!",   "!!map ", "\"",   "'",    "|",  ">",  "#",  "---", "? ",  ",",    "0x10",
      "010", "1e999",  ".nan", "null", "~",  "\t", "%",  "@",   "`",   "\xff", std::string(1, '\0'),
      "name"};
  base::Random random(2024);
  const std::string source = read(find_recipe("peptides-func/gps"));
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = source;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
      const std::size_t at = random.below(text.size());
      const std::size_t length = random.below(12);
      text.replace(at, random.below(2) == 0 ? 0 : length, tokens[random.below(tokens.size())]);
    }
    refused += problems_of(text).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 1500);
  EXPECT_LT(refused, 3000);
}

TEST(Recipe, MutatedOverridesAreRefusedOrTaken) {
  base::Random random(5);
  const std::string letters = "train.encode[0]model={}:,-1 sepochs\"'&*!|#\n";
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(24); n > 0; --n)
      text += letters[random.below(letters.size())];
    refused += problems_of(kGood, {text}).empty() ? 0 : 1;
    refused += problems_of(kGood, {"train.epochs=" + text}).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 5000);  // hardly any random text is a recipe
}

// Calls f(name, recipe, a small data set of the shape that its card states) for every shipped one.
template <class F>
void each_shipped(F f) {
  for (const std::string& name : shipped_recipes()) {
    SCOPED_TRACE(name);
    try {
      const Recipe recipe = load_recipe(find_recipe(name), {});
      f(name, recipe, data::open_stand_in(recipe.dataset, {.graphs = 10}));
    } catch (const base::Error& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

TEST(ShippedRecipe, HasTheParametersOfItsPublishedResult) {
  std::size_t compared = 0;
  each_shipped([&](const std::string&, const Recipe& recipe, const data::Opened& opened) {
    std::map<std::string, std::int64_t> widths;
    for (const auto& encoding : recipe.encode) {
      widths[std::string(encode::name_of(encoding))] = encode::width_of(encoding);
    }
    const auto model = models::build(recipe.model, models::signature_of(opened.dataset, widths));
    EXPECT_GT(models::parameter_count(*model), 0);
    if (!recipe.published || recipe.published->values.count("parameters") == 0) return;
    EXPECT_EQ(models::parameter_count(*model), recipe.published->values.at("parameters"));
    ++compared;
  });
  EXPECT_GT(compared, 40U);
}

TEST(ShippedRecipe, FitsItsCard) {
  each_shipped([](const std::string& name, const Recipe& recipe, const data::Opened& opened) {
    const data::DatasetInfo& info = opened.dataset.info;
    EXPECT_NO_THROW(find_loss(recipe.train.loss, info.task));
    EXPECT_NO_THROW(find_metric(info.metric, info.task));
    EXPECT_NO_THROW(data::select_split(opened, recipe.dataset));
    if (recipe.published) {
      EXPECT_FALSE(recipe.published->source.empty());
      EXPECT_EQ(recipe.published->values.count(info.metric), 1U);
    }
    const std::string text = read(find_recipe(name));
    EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 60);
    EXPECT_EQ(text.rfind("# gtrain --recipe " + name + "\n", 0), 0U);
  });
}

}  // namespace
}  // namespace gtrain::train
