#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "gtrain/base/error.h"
#include "gtrain/train/recipe_describe.h"
#include "gtrain/train/recipe_suggestion.h"

namespace gtrain::train {

namespace {

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

std::vector<std::string> explained_names(const models::Zoo& zoo) {
  const Section root = describe_recipe(zoo);
  std::set<std::string> names{"recipe"};
  for (const Found& found : all_sections(root)) {
    if (!found.path.empty()) names.insert(last_step(found.path));
    if (!found.section->name.empty()) names.insert(found.section->name);
  }
  return {names.begin(), names.end()};
}

std::string explain(std::string_view name, const models::Zoo& zoo) {
  const Section root = describe_recipe(zoo);
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
  const std::vector<std::string> names = explained_names(zoo);
  const std::vector<std::string_view> views(names.begin(), names.end());
  throw base::RecipeError(fmt::format("nothing is called {}{}; known: {}", name,
                                      did_you_mean(name, views), joined(views)));
}

std::string recipe_markdown(const models::Zoo& zoo) {
  const Section root = describe_recipe(zoo);
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
