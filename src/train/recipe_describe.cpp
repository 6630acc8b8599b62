#include "gtrain/train/recipe_describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/train/recipe.h"
#include "gtrain/train/recipe_scalar.h"
#include "gtrain/train/recipe_suggestion.h"
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

std::string default_text(const FieldDescription& field) {
  if (field.required) return "required";
  if (field.fallback) return *field.fallback == "null" ? "absent" : *field.fallback;
  return field.optional ? "absent" : "";
}

// A section and where it stands: "model", "model.encoders[]", "train.schedule".
struct Found {
  std::string path;
  std::string tag;
  const Section* section = nullptr;
};

void collect(const Section& section, const std::string& path, std::vector<Found>& out) {
  for (const FieldDescription& field : section.fields) {
    const std::string at = (path.empty() ? "" : path + ".") + field.key + (field.list ? "[]" : "");
    for (const Section& inner : field.sections) {
      out.push_back({at, field.tag, &inner});
      collect(inner, at, out);
    }
  }
}

std::vector<Found> all_sections(const Section& root) {
  std::vector<Found> found{{"", "", &root}};
  collect(root, "", found);
  return found;
}

std::string heading(const Found& found) {
  if (found.path.empty()) return "recipe";
  return found.tag.empty()
             ? found.path
             : fmt::format("{}: {{{}: {}}}", found.path, found.tag, found.section->name);
}

std::string table(const Found& found) {
  const auto& fields = found.section->fields;
  std::string out = heading(found) + "\n";
  if (!found.section->doc.empty()) out += "  " + found.section->doc + "\n";
  if (fields.empty()) return out + "  no keys\n";
  std::size_t key_width = 3, default_width = 7;
  for (const FieldDescription& f : fields) {
    key_width = std::max(key_width, f.key.size());
    default_width = std::max(default_width, default_text(f).size());
  }
  for (const FieldDescription& f : fields) {
    out += fmt::format("  {:<{}}  {:<{}}  {}\n", f.key, key_width, default_text(f), default_width,
                       type_text(f));
    if (!f.doc.empty()) out += fmt::format("  {:<{}}    {}\n", "", key_width, f.doc);
  }
  return out;
}

std::string last_step(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  std::string step = dot == std::string::npos ? path : path.substr(dot + 1);
  if (step.size() > 2 && step.ends_with("[]")) step.resize(step.size() - 2);
  return step;
}

bool same_path(std::string path, std::string_view asked) {
  for (std::size_t at; (at = path.find("[]")) != std::string::npos;) path.erase(at, 2);
  return path == asked;
}

std::string escaped(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.insert(at, "\\");
  }
  return text;
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

Section describe_recipe() {
  Recipe recipe;
  return describe([&](base::FieldVisitor& f) { recipe.fields(f); });
}

std::vector<std::string> explained_names() {
  const Section root = describe_recipe();
  std::set<std::string> names{"recipe"};
  for (const Found& found : all_sections(root)) {
    if (!found.path.empty()) names.insert(last_step(found.path));
    if (!found.section->name.empty()) names.insert(found.section->name);
  }
  return {names.begin(), names.end()};
}

std::string explain(std::string_view name) {
  const Section root = describe_recipe();
  std::string out;
  for (const Found& found : all_sections(root)) {
    const bool root_asked = found.path.empty() && name == "recipe";
    const bool named = !found.section->name.empty() && found.section->name == name;
    const bool placed =
        !found.path.empty() && (same_path(found.path, name) || last_step(found.path) == name);
    if (root_asked || named || placed) out += (out.empty() ? "" : "\n") + table(found);
  }
  if (!out.empty()) return out;
  for (const Found& found : all_sections(root)) {
    for (const FieldDescription& f : found.section->fields) {
      const bool whole = same_path((found.path.empty() ? "" : found.path + ".") + f.key, name);
      if (!whole && f.key != name) continue;
      out += fmt::format("{}{}: {}\n  {}\n  default: {}\n", out.empty() ? "" : "\n",
                         (found.path.empty() ? "" : heading(found) + " ") + f.key, f.doc,
                         type_text(f), default_text(f));
    }
  }
  if (!out.empty()) return out;
  const std::vector<std::string> names = explained_names();
  const std::vector<std::string_view> views(names.begin(), names.end());
  throw base::RecipeError(fmt::format("nothing is called {}{}; known: {}", name,
                                      did_you_mean(name, views), joined(views)));
}

std::string recipe_markdown() {
  const Section root = describe_recipe();
  std::string out =
      "# Recipe keys\n\nMade by `gtrain explain --markdown`; do not edit. A recipe is one YAML map "
      "with the keys of the first table.\nA *choice* is a map whose tag key (`name`, `kind`) "
      "selects "
      "the table of its other keys. Absent keys keep their\ndefault. `gtrain validate FILE` names "
      "every mistake with line and column; `docs/recipe.schema.json` teaches the\nsame to "
      "editors.\n";
  for (const Found& found : all_sections(root)) {
    out += fmt::format("\n## `{}`\n", heading(found));
    if (!found.section->doc.empty()) out += "\n" + found.section->doc + "\n";
    if (found.section->fields.empty()) {
      out += "\nNo keys.\n";
      continue;
    }
    out += "\n| key | type | default | |\n|---|---|---|---|\n";
    for (const FieldDescription& f : found.section->fields) {
      const std::string fallback = default_text(f);
      const bool literal = !fallback.empty() && fallback != "required" && fallback != "absent";
      out += fmt::format("| `{}` | {} | {} | {} |\n", f.key, escaped(type_text(f)),
                         literal ? "`" + escaped(fallback) + "`" : fallback, escaped(f.doc));
    }
  }
  return out;
}

}  // namespace gtrain::train
