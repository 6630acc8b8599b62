// Recipes explained: the keys of every struct with type, default, bounds and documentation, taken
// from the same `fields` that decode them, as text for a terminal, as Markdown (docs/recipe.md) and
// as a JSON Schema (draft 2020-12) for editors (docs/recipe.schema.json).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/zoo.h"

namespace gtrain::train {

enum class FieldKind : std::uint8_t {
  kBoolean,
  kInteger,
  kNumber,
  kText,
  kIntegers,
  kNumbers,
  kTexts,
  kNumberMap,  // any further key, each a number
  kMap,        // one section
  kChoice,     // one section per alternative
};

struct FieldDescription;

// An options struct, or one alternative of a choice.
struct Section {
  std::string name;  // tag value of an alternative; else empty
  std::string doc;
  std::vector<FieldDescription> fields;
};

struct FieldDescription {
  std::string key, doc;
  FieldKind kind = FieldKind::kText;
  std::optional<std::string> fallback;  // default, as it would stand in a recipe
  double min = 0, max = 0;
  std::vector<std::string> one_of;
  std::string tag;  // tag key of a choice
  bool required = false;
  bool optional = false;  // may be null or absent
  bool list = false;      // a list of such maps or choices
  std::vector<Section> sections;
};

Section describe(const base::FieldVisitor::Body& fields);

// "integer, 1 to 256", "one of best, last", "list of numbers", …
std::string type_text(const FieldDescription& field);

// The whole recipe. `zoo`: the models it may name, here and below.
Section describe_recipe(const models::Zoo& zoo = models::zoo());

// What `name` is: a section ("train"), a dotted path ("train.schedule", "model.width"), or the name
// of alternatives ("gps", "adamw"; every place that offers one). Throws base::RecipeError with near
// names.
std::string explain(std::string_view name, const models::Zoo& zoo = models::zoo());
// The topics explain knows besides dotted paths, sorted.
std::vector<std::string> explained_names(const models::Zoo& zoo = models::zoo());

std::string recipe_markdown(const models::Zoo& zoo = models::zoo());
std::string recipe_schema(const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train
