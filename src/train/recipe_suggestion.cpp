#include "gtrain/train/recipe_suggestion.h"

#include <algorithm>
#include <cctype>

namespace gtrain::train {

namespace {

constexpr std::size_t kLongest = 64;

std::string folded(std::string_view text) {
  std::string out(text.substr(0, kLongest));
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view left, std::string_view right) {
  const std::string a = folded(left), b = folded(right);
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t best_distance = kLongest;
  for (std::string_view candidate : candidates) {
    const std::size_t allowed = 1 + std::max(word.size(), candidate.size()) / 4;
    std::size_t distance = edit_distance(word, candidate);
    const std::size_t common = std::min(word.size(), candidate.size());
    const bool prefix = common >= 3 && word.substr(0, common) == candidate.substr(0, common);
    if (prefix) distance = std::min<std::size_t>(distance, 1);
    if (candidate.empty() || distance > allowed || distance >= best_distance) continue;
    if (distance >= std::min(word.size(), candidate.size()) && !prefix) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  const std::string_view best = nearest(word, candidates);
  return best.empty() ? std::string() : " (did you mean " + std::string(best) + "?)";
}

std::string joined(const std::vector<std::string_view>& names) {
  std::string out;
  for (std::string_view name : names) {
    if (name.empty()) continue;
    if (!out.empty()) out += ", ";
    out += name;
  }
  return out;
}

}  // namespace gtrain::train
