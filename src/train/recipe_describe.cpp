#include "gtrain/train/recipe_describe.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "gtrain/train/recipe.h"
#include "gtrain/train/recipe_scalar.h"
#include "gtrain/train/recipe_writer.h"

namespace gtrain::train {

namespace {

using base::Field;

class Describer final : public base::FieldVisitor {
 public:
  Section section(std::string name, std::string doc, const Body& fields) {
    Section made{std::move(name), std::move(doc), {}};
    std::swap(made, section_);
    fields(*this);
    std::swap(made, section_);
    return made;
  }

  using FieldVisitor::operator();
  void operator()(const Field& f, bool& v) override { scalar(f, FieldKind::kBoolean, v); }
  void operator()(const Field& f, std::int64_t& v) override { scalar(f, FieldKind::kInteger, v); }
  void operator()(const Field& f, double& v) override { scalar(f, FieldKind::kNumber, v); }
  void operator()(const Field& f, std::string& v) override { scalar(f, FieldKind::kText, v); }
  void operator()(const Field& f, std::optional<bool>& v) override {
    scalar(f, FieldKind::kBoolean, v).optional = true;
  }
  void operator()(const Field& f, std::optional<std::int64_t>& v) override {
    scalar(f, FieldKind::kInteger, v).optional = true;
  }
  void operator()(const Field& f, std::optional<double>& v) override {
    scalar(f, FieldKind::kNumber, v).optional = true;
  }
  void operator()(const Field& f, std::vector<std::int64_t>& v) override {
    scalar(f, FieldKind::kIntegers, v);
  }
  void operator()(const Field& f, std::vector<double>& v) override {
    scalar(f, FieldKind::kNumbers, v);
  }
  void operator()(const Field& f, std::vector<std::string>& v) override {
    scalar(f, FieldKind::kTexts, v);
  }
  void rest(const Field& f, std::map<std::string, double>&) override {
    add(f, FieldKind::kNumberMap).optional = true;
  }
  void object(const Field& f, const Body& fields) override {
    Section inner = section({}, std::string(f.doc), fields);
    add(f, FieldKind::kMap).sections.push_back(std::move(inner));
  }
  void maybe(const Field& f, base::MaybeAccess& access) override {
    Section inner = section({}, std::string(f.doc), [&](FieldVisitor& v) { access.describe(v); });
    FieldDescription& made = add(f, FieldKind::kMap);
    made.sections.push_back(std::move(inner));
    made.optional = true;
  }
  void list(const Field& f, base::ListAccess& access) override {
    access.describe(f, *this);
    section_.fields.back().list = true;
    section_.fields.back().fallback =
        access.size() == 0 ? std::optional<std::string>("[]") : std::nullopt;
  }
  void choice(const Field& f, base::ChoiceAccess& access) override {
    std::vector<Section> inner;
    const auto alternatives = access.alternatives();
    for (std::size_t i = 0; i < alternatives.size(); ++i) {
      inner.push_back(section(std::string(alternatives[i].name), std::string(alternatives[i].doc),
                              [&](FieldVisitor& v) { access.describe(i, v); }));
    }
    FieldDescription& made = add(f, FieldKind::kChoice);
    made.sections = std::move(inner);
    made.tag = f.tag;
    if (!f.required) made.fallback = std::string(access.selected());
  }
  void require(bool, std::string_view, const std::string&) override {}

 private:
  FieldDescription& add(const Field& f, FieldKind kind) {
    FieldDescription made;
    made.key = f.key;
    made.doc = f.doc;
    made.kind = kind;
    made.min = f.min;
    made.max = f.max;
    made.one_of.assign(f.one_of.begin(), f.one_of.end());
    made.required = f.required;
    section_.fields.push_back(std::move(made));
    return section_.fields.back();
  }
  template <class T>
  FieldDescription& scalar(const Field& f, FieldKind kind, T& value) {
    FieldDescription& made = add(f, kind);
    const RecipeNode tree = to_tree([&](FieldVisitor& v) { v(f, value); });
    if (!f.required) made.fallback = to_flow(tree.entries.front().value);
    return made;
  }

  Section section_;
};

std::string range_text(const FieldDescription& field) {
  const bool low = std::isfinite(field.min), high = field.max < kBoundless;
  if (low && high) {
    return fmt::format(", {} to {}", print_number(field.min), print_number(field.max));
  }
  if (low) return ", at least " + print_number(field.min);
  return high ? ", at most " + print_number(field.max) : std::string();
}

std::string names_of(const std::vector<Section>& sections) {
  std::string out;
  for (const Section& s : sections) out += (out.empty() ? "" : ", ") + s.name;
  return out;
}

}  // namespace

Section describe(const base::FieldVisitor::Body& fields) {
  return Describer().section({}, {}, fields);
}

std::string type_text(const FieldDescription& field) {
  const std::string range = range_text(field);
  std::string out;
  switch (field.kind) {
    case FieldKind::kBoolean:
      return "true or false";
    case FieldKind::kInteger:
      return "integer" + range;
    case FieldKind::kNumber:
      return "number" + range;
    case FieldKind::kIntegers:
      return "list of integers" + range;
    case FieldKind::kNumbers:
      return "list of numbers" + range;
    case FieldKind::kTexts:
      return "list of texts";
    case FieldKind::kNumberMap:
      return "number" + range;
    case FieldKind::kMap:
      return field.list ? "list of maps" : "map";
    case FieldKind::kChoice:
      return (field.list ? "list of choices: " : "choice: ") + names_of(field.sections);
    case FieldKind::kText:
      break;
  }
  for (const std::string& name : field.one_of) {
    out += (out.empty() ? "one of " : ", ") + (name.empty() ? "\"\"" : name);
  }
  return out.empty() ? "text" : out;
}

Section describe_recipe(const models::Zoo& zoo) {
  Recipe recipe;
  recipe.zoo = &zoo;
  return describe([&](base::FieldVisitor& f) { recipe.fields(f); });
}

}  // namespace gtrain::train
