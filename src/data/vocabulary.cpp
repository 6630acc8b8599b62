#include "gtrain/data/vocabulary.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

namespace gtrain::data {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::vector<std::string> vocabulary_of(const std::vector<std::string>& texts,
                                       const std::vector<std::int64_t>& train, std::int64_t most) {
  std::unordered_map<std::string, std::size_t> place;
  std::vector<std::string> words;  // by first occurrence
  std::vector<std::int64_t> count;
  for (const std::int64_t g : train) {
    for (std::string& word : words_of(texts[static_cast<std::size_t>(g)])) {
      const auto [it, fresh] = place.emplace(word, words.size());
      if (fresh) {
        words.push_back(std::move(word));
        count.push_back(0);
      }
      ++count[it->second];
    }
  }
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return count[a] > count[b]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(most)));
  std::vector<std::string> out;
  for (const std::size_t i : order) out.push_back(words[i]);
  out.insert(out.end(), {"__UNK__", "__EOS__"});
  return out;
}

Column token_labels(const std::vector<std::string>& texts,
                    const std::vector<std::string>& vocabulary) {
  std::unordered_map<std::string, std::int64_t> ids;
  for (const std::string& word : vocabulary) {
    ids.emplace(word, static_cast<std::int64_t>(ids.size()));
  }
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 1;
  for (const std::string& text : texts) {
    rows.emplace_back();
    for (const std::string& word : words_of(text)) {
      rows.back().push_back(ids.emplace(word, static_cast<std::int64_t>(ids.size())).first->second);
    }
    longest = std::max(longest, rows.back().size());
  }
  auto out =
      make_column<std::int64_t>("labels", Per::kGraph, static_cast<std::int64_t>(rows.size()),
                                static_cast<std::int64_t>(longest));
  std::fill(out.data, out.data + rows.size() * longest, std::int64_t{-1});
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::copy(rows[r].begin(), rows[r].end(), out.data + r * longest);
  }
  return out.column;
}

}  // namespace gtrain::data
