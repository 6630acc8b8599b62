// Near names: what a misspelt key, value or command was probably meant to be. Distance is optimal
// string alignment (insert, delete, replace, swap of neighbours; Damerau 1964), case ignored.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gtrain::train {

std::size_t edit_distance(std::string_view a, std::string_view b);  // O(|a| |b|), |.| cut at 64

// The candidate nearest to `word` when it is near enough to be meant (about a third of the letters,
// or one a prefix of the other); else empty. Ties go to the first.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// " (did you mean X?)", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

// "a, b, c" without empty names.
std::string joined(const std::vector<std::string_view>& names);

}  // namespace gtrain::train
