// Dotted paths and the overrides of the command line.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gtrain/train/recipe_tree.h"

namespace gtrain::train {

std::vector<PathStep> parse_path(std::string_view path) {
  std::vector<PathStep> steps;
  std::size_t at = 0;
  while (at < path.size()) {
    if (path[at] == '[') {
      const std::size_t end = path.find(']', at);
      const std::string_view digits =
          end == std::string_view::npos ? "" : path.substr(at + 1, end - at - 1);
      if (digits.empty() || digits.size() > 6 ||
          digits.find_first_not_of("0123456789") != std::string_view::npos) {
        return {};
      }
      steps.push_back({"", std::stoul(std::string(digits))});
      at = end + 1;
      if (at < path.size() && path[at] != '.' && path[at] != '[') return {};
      if (at < path.size() && path[at] == '.' && ++at == path.size()) return {};
      continue;
    }
    const std::size_t end = std::min(path.find_first_of(".[", at), path.size());
    if (end == at) return {};
    steps.push_back({std::string(path.substr(at, end - at)), 0});
    at = end;
    if (at < path.size() && path[at] == '.' && ++at == path.size()) return {};
  }
  return steps.size() > kMaxRecipeDepth ? std::vector<PathStep>{} : steps;
}

namespace {

// The child a step leads to, made where it is missing; nullptr (and a problem) where it cannot be.
RecipeNode* descend(RecipeNode& node, const PathStep& step, const Place& place,
                    const std::string& at, Problems& problems) {
  using Kind = RecipeNode::Kind;
  if (node.kind == Kind::kNull) node.kind = step.key.empty() ? Kind::kList : Kind::kMap;
  if (step.key.empty()) {
    if (node.kind != Kind::kList) {
      problems.add(place, "", at + " is no list");
      return nullptr;
    }
    if (step.index > node.items.size()) {
      problems.add(place, "",
                   fmt::format("{} has {} elements, so index {} does not exist", at,
                               node.items.size(), step.index));
      return nullptr;
    }
    if (step.index == node.items.size()) {
      node.items.emplace_back();
      node.items.back().place = place;
    }
    return &node.items[step.index];
  }
  if (node.kind != Kind::kMap) {
    problems.add(place, "", at + " is no map");
    return nullptr;
  }
  RecipeEntry* entry = node.find(step.key);
  if (entry == nullptr) {
    node.entries.push_back({step.key, place, {}});
    entry = &node.entries.back();
    entry->value.place = place;
  }
  return &entry->value;
}

}  // namespace

void apply_override(RecipeNode& root, const std::string& text, int argument, Problems& problems) {
  const Place place{argument, 1, 1};
  const std::size_t equals = text.find('=');
  const std::vector<PathStep> steps =
      parse_path(std::string_view(text).substr(0, std::min(equals, text.size())));
  if (equals == std::string::npos || steps.empty()) {
    problems.add(place, "", "expected KEY=VALUE, such as train.epochs=10 or encode[0].steps=16");
    return;
  }
  RecipeNode value = parse_tree(text.substr(equals + 1), argument, problems);
  value.place = place;
  RecipeNode* node = &root;
  std::string at;
  for (const PathStep& step : steps) {
    node = descend(*node, step, place, at.empty() ? "the recipe" : at, problems);
    if (node == nullptr) return;
    at += step.key.empty() ? fmt::format("[{}]", step.index) : (at.empty() ? "" : ".") + step.key;
  }
  *node = std::move(value);
}

}  // namespace gtrain::train
