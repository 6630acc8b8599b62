#include "gtrain/train/recipe_writer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "gtrain/train/recipe_scalar.h"

namespace gtrain::train {

namespace {

using base::Field;
using Kind = RecipeNode::Kind;

constexpr std::size_t kColumns = 100;

RecipeNode scalar_node(std::string text) {
  RecipeNode node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  return node;
}
RecipeNode make(bool value) { return scalar_node(value ? "true" : "false"); }
RecipeNode make(std::int64_t value) { return scalar_node(std::to_string(value)); }
RecipeNode make(double value) { return scalar_node(print_number(value)); }
RecipeNode make(const std::string& value) {
  RecipeNode node = scalar_node(value);
  node.quoted = true;  // text: quoted where needed
  return node;
}
template <class T>
RecipeNode make(const std::optional<T>& value) {
  return value ? make(*value) : RecipeNode{};
}
template <class T>
RecipeNode make(const std::vector<T>& values) {
  RecipeNode node;
  node.kind = Kind::kList;
  for (const T& value : values) node.items.push_back(make(value));
  return node;
}

class Writer final : public base::FieldVisitor {
 public:
  RecipeNode map(const Body& fields, std::optional<RecipeEntry> first = {}) {
    RecipeNode node;
    node.kind = Kind::kMap;
    if (first) node.entries.push_back(std::move(*first));
    std::swap(node, map_);
    fields(*this);
    std::swap(node, map_);
    return node;
  }

  using FieldVisitor::operator();
  void operator()(const Field& f, bool& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::int64_t& v) override { put(f, make(v)); }
  void operator()(const Field& f, double& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::string& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::optional<bool>& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::optional<std::int64_t>& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::optional<double>& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::vector<std::int64_t>& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::vector<double>& v) override { put(f, make(v)); }
  void operator()(const Field& f, std::vector<std::string>& v) override { put(f, make(v)); }

  void rest(const Field&, std::map<std::string, double>& values) override {
    for (const auto& [key, value] : values) map_.entries.push_back({key, {}, make(value)});
  }
  void object(const Field& field, const Body& fields) override { put(field, map(fields)); }
  void maybe(const Field& field, base::MaybeAccess& access) override {
    put(field, access.present() ? map([&](FieldVisitor& v) { access.fields(v); }) : RecipeNode{});
  }
  void list(const Field& field, base::ListAccess& access) override {
    RecipeNode node;
    node.kind = Kind::kList;
    for (std::size_t i = 0; i < access.size(); ++i) {
      access.element(i, field, *this);
      node.items.push_back(std::move(map_.entries.back().value));
      map_.entries.pop_back();
    }
    put(field, std::move(node));
  }
  void choice(const Field& field, base::ChoiceAccess& access) override {
    RecipeEntry tag{std::string(field.tag), {}, scalar_node(std::string(access.selected()))};
    put(field, map([&](FieldVisitor& v) { access.fields(v); }, std::move(tag)));
  }
  void require(bool, std::string_view, const std::string&) override {}

 private:
  void put(const Field& field, RecipeNode node) {
    map_.entries.push_back({std::string(field.key), {}, std::move(node)});
  }

  RecipeNode map_;  // the map being filled
};

void write_block(const RecipeNode& node, std::size_t indent, std::string& out);

// `prefix` ("key:" or "-") with its value after it, on the same line where that fits.
void write_value(const std::string& prefix, const RecipeNode& value, std::size_t indent,
                 std::string& out) {
  const std::string flow = to_flow(value);
  const bool nested = (value.kind == Kind::kMap && !value.entries.empty()) ||
                      (value.kind == Kind::kList && !value.items.empty());
  out += std::string(indent, ' ') + prefix;
  if (!nested || indent + prefix.size() + 1 + flow.size() <= kColumns) {
    out += " " + flow + "\n";
  } else {
    out += "\n";
    write_block(value, indent + 2, out);
  }
}

void write_block(const RecipeNode& node, std::size_t indent, std::string& out) {
  for (const RecipeEntry& entry : node.entries) {
    write_value(print_text(entry.key) + ":", entry.value, indent, out);
  }
  for (const RecipeNode& item : node.items) {
    const std::string flow = to_flow(item);
    if (indent + 2 + flow.size() <= kColumns || item.kind == Kind::kScalar) {
      out += std::string(indent, ' ') + "- " + flow + "\n";
      continue;
    }
    const std::size_t start = out.size();
    write_block(item, indent + 2, out);
    out[start + indent] = '-';
  }
}

}  // namespace

RecipeNode to_tree(const base::FieldVisitor::Body& fields) { return Writer().map(fields); }

std::string to_flow(const RecipeNode& node) {
  if (node.kind == Kind::kNull) return "null";
  if (node.kind == Kind::kScalar) return node.quoted ? print_text(node.text) : node.text;
  std::string out;
  for (const RecipeEntry& entry : node.entries) {
    out += (out.empty() ? "" : ", ") + print_text(entry.key) + ": " + to_flow(entry.value);
  }
  for (const RecipeNode& item : node.items) out += (out.empty() ? "" : ", ") + to_flow(item);
  return node.kind == Kind::kMap ? "{" + out + "}" : "[" + out + "]";
}

std::string to_yaml(const RecipeNode& root) {
  std::string out;
  write_block(root, 0, out);
  return out.empty() ? "{}\n" : out;
}

}  // namespace gtrain::train
