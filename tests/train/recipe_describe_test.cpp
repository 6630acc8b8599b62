#include "gtrain/train/recipe_describe.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "gtrain/base/error.h"
#include "gtrain/train/recipe_file.h"

namespace gtrain::train {
namespace {

std::string committed(const std::string& name) {
  std::ifstream in(std::string(GTRAIN_SOURCE_DIR) + "/docs/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Explain, TellsKeysTypesBoundsAndDefaultsOfAnAlternative) {
  const std::string text = explain("adamw");
  EXPECT_EQ(text.rfind("train.optimizer: {name: adamw}\n", 0), 0U);
  EXPECT_NE(text.find("weight_decay"), std::string::npos);
  EXPECT_NE(text.find("0.999"), std::string::npos);
  EXPECT_NE(text.find("number, 0 to 1000"), std::string::npos);
}

TEST(Explain, ShowsEveryPlaceThatOffersAName) {
  const std::string text = explain("linear");
  EXPECT_NE(text.find("model.node: {name: linear}"), std::string::npos);
  EXPECT_NE(text.find("model.encoders[]: {kind: linear}"), std::string::npos);
  EXPECT_NE(text.find("train.schedule: {name: linear}"), std::string::npos);
}

TEST(Explain, KnowsSectionsPathsAndSingleKeys) {
  EXPECT_NE(explain("recipe").find("dataset"), std::string::npos);
  EXPECT_NE(explain("train").find("eval_every"), std::string::npos);
  EXPECT_NE(explain("train.schedule").find("plateau"), std::string::npos);
  EXPECT_NE(explain("model.width").find("integer"), std::string::npos);
  EXPECT_NE(explain("clip_norm").find("default: 0"), std::string::npos);
  EXPECT_NE(explain("model.encoders").find("deepset"), std::string::npos);
}

TEST(Explain, SuggestsForAnUnknownName) {
  try {
    explain("adanw");
    FAIL() << "explained an unknown name";
  } catch (const base::RecipeError& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean adamw?"), std::string::npos) << e.what();
  }
}

TEST(Explain, EveryNameItListsIsExplained) {
  for (const std::string& name : explained_names()) EXPECT_NO_THROW(explain(name)) << name;
}

TEST(Explain, DocumentsEveryKey) {
  std::vector<const Section*> open;
  const Section root = describe_recipe();
  open.push_back(&root);
  while (!open.empty()) {
    const Section& section = *open.back();
    open.pop_back();
    for (const FieldDescription& field : section.fields) {
      EXPECT_FALSE(field.doc.empty()) << field.key;
      for (const Section& inner : field.sections) open.push_back(&inner);
    }
  }
}

TEST(RecipeMarkdown, CommittedFileIsUpToDate) {
  EXPECT_EQ(committed("recipe.md"), recipe_markdown())
      << "run: gtrain explain --markdown > docs/recipe.md";
}

TEST(RecipeSchema, CommittedFileIsUpToDate) {
  EXPECT_EQ(committed("recipe.schema.json"), recipe_schema())
      << "run: gtrain explain --schema > docs/recipe.schema.json";
}

// A validator for what the emitter uses: enough to see that the schema describes real recipes.
bool fits(const nlohmann::json& schema, const nlohmann::json& value) {
  if (schema.is_boolean()) return schema.get<bool>();
  const auto any = [&](const char* key) {
    std::size_t count = 0;
    for (const auto& inner : schema.at(key)) count += fits(inner, value) ? 1 : 0;
    return count;
  };
  if (schema.contains("anyOf") && any("anyOf") == 0) return false;
  if (schema.contains("oneOf") && any("oneOf") != 1) return false;
  if (schema.contains("const") && schema["const"] != value) return false;
  if (schema.contains("enum")) {
    const auto& names = schema["enum"];
    if (std::find(names.begin(), names.end(), value) == names.end()) return false;
  }
  if (value.is_number() && schema.contains("minimum") && value < schema["minimum"]) return false;
  if (value.is_number() && schema.contains("maximum") && value > schema["maximum"]) return false;
  const std::string type = schema.value("type", "");
  if (type == "array") {
    if (!value.is_array()) return false;
    for (const auto& item : value) {
      if (!fits(schema["items"], item)) return false;
    }
  }
  if (type == "object") {
    if (!value.is_object()) return false;
    for (const auto& key : schema.value("required", nlohmann::json::array())) {
      if (!value.contains(key.get<std::string>())) return false;
    }
    for (const auto& [key, inner] : value.items()) {
      const bool known = schema["properties"].contains(key);
      if (!fits(known ? schema["properties"][key] : schema["additionalProperties"], inner)) {
        return false;
      }
    }
  }
  return !((type == "integer" && !value.is_number_integer()) ||
           (type == "number" && !value.is_number()) || (type == "string" && !value.is_string()) ||
           (type == "boolean" && !value.is_boolean()) || (type == "null" && !value.is_null()));
}

TEST(RecipeSchema, FitsAGoodRecipeAndNoBadOne) {
  const nlohmann::json schema = nlohmann::json::parse(recipe_schema());
  nlohmann::json recipe = nlohmann::json::parse(R"({
    "dataset": {"name": "zinc"}, "encode": [{"name": "random_walk", "steps": 20}],
    "model": {"name": "gps", "width": 64, "node": {"name": "type"},
              "edge": {"name": "none"}, "head": {"name": "mlp"},
              "encoders": [{"kind": "linear", "of": "random_walk", "dim": 8}]},
    "train": {"epochs": 3, "optimizer": {"name": "adam", "lr": 0.1}},
    "repeat": {"seeds": [0, "1..3"]}, "published": {"mae": 0.1, "source": "x"}})");
  EXPECT_TRUE(fits(schema, recipe));
  nlohmann::json unknown = recipe;
  unknown["model"]["widht"] = 3;
  EXPECT_FALSE(fits(schema, unknown));
  nlohmann::json wrong = recipe;
  wrong["train"]["epochs"] = "three";
  EXPECT_FALSE(fits(schema, wrong));
  nlohmann::json low = recipe;
  low["train"]["epochs"] = 0;
  EXPECT_FALSE(fits(schema, low));
  nlohmann::json missing = recipe;
  missing.erase("model");
  EXPECT_FALSE(fits(schema, missing));
}

}  // namespace
}  // namespace gtrain::train
