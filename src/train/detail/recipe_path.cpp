#include "train/detail/recipe_path.h"

#include <cctype>

namespace gtrain::train::detail {

namespace {

bool within(std::string_view path, std::string_view ancestor) {
  return path.substr(0, ancestor.size()) == ancestor &&
         (path.size() == ancestor.size() || path[ancestor.size()] == '.' ||
          path[ancestor.size()] == '[');
}

bool mentions(std::string_view message, std::string_view word) {
  const auto letter = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  for (std::size_t at = 0; (at = message.find(word, at)) != std::string_view::npos; ++at) {
    const std::size_t end = at + word.size();
    const bool starts = at == 0 || !letter(message[at - 1]);
    if (starts && (end == message.size() || !letter(message[end]))) return true;
  }
  return false;
}

}  // namespace

std::string joined_path(const std::string& parent, std::string_view key) {
  return parent.empty() ? std::string(key) : parent + "." + std::string(key);
}

Place locate(const RecipeNode* node, Place place, std::string_view path) {
  for (const PathStep& step : parse_path(path)) {
    if (node == nullptr) break;
    if (step.key.empty()) {
      if (step.index >= node->items.size()) break;
      node = &node->items[step.index];
      place = node->place;
      continue;
    }
    const RecipeEntry* entry = node->find(step.key);
    if (entry == nullptr) break;
    node = &entry->value;
    place = node->place.argument >= 0 ? node->place : entry->place;
  }
  return place;
}

bool rests_on(const std::vector<std::string>& refused, const std::string& owner,
              const std::string& full, const std::string& message) {
  for (const std::string& path : refused) {
    if (within(path, full) || within(full, path)) return true;
    if (!owner.empty() && (path.size() <= owner.size() || !within(path, owner))) continue;
    const std::string_view below =
        std::string_view(path).substr(owner.empty() ? 0 : owner.size() + 1);
    if (mentions(message, below.substr(0, below.find_first_of(".[")))) return true;
  }
  return false;
}

}  // namespace gtrain::train::detail
