#include <cmath>
#include <nlohmann/json.hpp>

#include "gtrain/train/recipe_describe.h"

namespace gtrain::train {

namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  const bool whole = std::floor(value) == value && std::fabs(value) < 9e15;
  return whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

Json scalar(const FieldDescription& field, const char* type) {
  Json out{{"type", type}};
  if (std::isfinite(field.min)) out["minimum"] = number(field.min);
  if (std::isfinite(field.max)) out["maximum"] = number(field.max);
  if (!field.one_of.empty()) out["enum"] = field.one_of;
  return out;
}

Json value_schema(const FieldDescription& field);

Json section_schema(const Section& section, const std::string& tag) {
  Json properties = Json::object(), required = Json::array();
  Json out{{"type", "object"}};
  if (!section.doc.empty()) out["description"] = section.doc;
  if (!tag.empty()) {
    properties[tag] = {{"const", section.name}};
    required.push_back(tag);
  }
  Json further = false;
  for (const FieldDescription& field : section.fields) {
    if (field.kind == FieldKind::kNumberMap) {
      further = scalar(field, "number");
      continue;
    }
    properties[field.key] = value_schema(field);
    if (field.required) required.push_back(field.key);
  }
  out["properties"] = std::move(properties);
  if (!required.empty()) out["required"] = std::move(required);
  out["additionalProperties"] = std::move(further);
  return out;
}

Json sections_schema(const FieldDescription& field) {
  if (field.kind == FieldKind::kMap) return section_schema(field.sections.front(), {});
  Json alternatives = Json::array();
  for (const Section& s : field.sections) alternatives.push_back(section_schema(s, field.tag));
  return {{"oneOf", std::move(alternatives)}};
}

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

Json bare_schema(const FieldDescription& field) {
  switch (field.kind) {
    case FieldKind::kBoolean:
      return {{"type", "boolean"}};
    case FieldKind::kInteger:
      return scalar(field, "integer");
    case FieldKind::kNumber:
    case FieldKind::kNumberMap:
      return scalar(field, "number");
    case FieldKind::kText:
      return scalar(field, "string");
    case FieldKind::kNumbers:
      return list_of(scalar(field, "number"));
    case FieldKind::kTexts:
      return list_of(scalar(field, "string"));
    case FieldKind::kIntegers: {
      const Json range{{"type", "string"}, {"pattern", "^-?[0-9]+\\.\\.-?[0-9]+$"}};
      const Json item{{"anyOf", Json::array({scalar(field, "integer"), range})}};
      return {{"anyOf", Json::array({list_of(item), range})}};
    }
    case FieldKind::kMap:
    case FieldKind::kChoice:
      break;
  }
  return field.list ? list_of(sections_schema(field)) : sections_schema(field);
}

Json value_schema(const FieldDescription& field) {
  Json out = bare_schema(field);
  if (field.optional) out = {{"anyOf", Json::array({std::move(out), {{"type", "null"}}})}};
  if (!field.doc.empty()) out["description"] = field.doc;
  const bool literal = field.fallback && field.sections.empty() && !field.fallback->empty();
  if (literal) {
    const Json fallback = Json::parse(*field.fallback, nullptr, false);
    out["default"] = fallback.is_discarded() ? Json(*field.fallback) : fallback;
  }
  return out;
}

}  // namespace

std::string recipe_schema(const models::Zoo& zoo) {
  Json schema = Json::object();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "gtrain recipe";
  const Json root = section_schema(describe_recipe(zoo), {});
  for (const auto& [key, value] : root.items()) schema[key] = value;
  return schema.dump(2) + "\n";
}

}  // namespace gtrain::train
