// The scalars of a recipe: strict text -> value with a reason on failure, and value -> the shortest
// text that reads back equal. YAML 1.1's surprises (010 = 8, 0x10, yes, 1_000) are refused with
// what to write instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/train/recipe_tree.h"

namespace gtrain::train {

template <class T>
struct Scanned {
  T value{};
  std::string problem;  // what is wrong ("expected an integer, got abc"); empty: nothing
};

Scanned<bool> scan_bool(const RecipeNode& node);
Scanned<std::int64_t> scan_integer(const RecipeNode& node);
Scanned<double> scan_number(const RecipeNode& node);
Scanned<std::string> scan_text(const RecipeNode& node);
// One integer, or a range a..b of at most 10,000.
Scanned<std::vector<std::int64_t>> scan_integers(const RecipeNode& node);

// What a node is, for messages: "a map", "a list", "nothing", "\"text\"", "12".
std::string kind_of(const RecipeNode& node);

// Upper bounds from here on only guard sizes and are not worth showing.
inline constexpr double kBoundless = 1e12;

std::string print_number(double value);
std::string print_text(const std::string& value);  // quoted where YAML would not read it as text

}  // namespace gtrain::train
