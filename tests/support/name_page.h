// The page of tensor names (docs/parameters.md) as rules: what a reader would make of its rows. The
// grammar is explained on the page itself.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace gtrain::support {

class NamePage {
 public:
  explicit NamePage(const std::filesystem::path& page);

  // Those of `known` that rows give for an authors' name.
  std::set<std::string> names_of(const std::string& reference,
                                 const std::set<std::string>& known) const;

  // Whether a row stands for one of gtrain's names.
  bool has(const std::string& name) const;

 private:
  struct Row {
    std::string own, reference;  // as they stand, alternatives chosen
    std::regex own_form, reference_form;
    bool biased;  // of models with global: biased
  };
  void add(const std::string& own, const std::vector<std::string>& references, bool biased);

  std::vector<Row> rows_;
};

namespace name_page {

inline std::vector<std::string> code_spans(std::string cell) {
  cell = std::regex_replace(cell, std::regex(R"(\([^)]*\))"), "");  // conditions
  std::vector<std::string> out;
  static const std::regex span("`([^`]+)`");
  for (std::sregex_iterator it(cell.begin(), cell.end(), span), end; it != end; ++it) {
    out.push_back(it->str(1));
  }
  return out;
}

inline std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out(1);
  for (const char c : text) {
    if (c == at) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

// `a.{b,c}.d` as `a.b.d` and `a.c.d`.
inline std::vector<std::string> choices(const std::string& pattern) {
  const auto open = pattern.find('{'), close = pattern.find('}');
  if (open == std::string::npos) return {pattern};
  std::vector<std::string> out;
  for (const std::string& choice : split(pattern.substr(open + 1, close - open - 1), ',')) {
    out.push_back(pattern.substr(0, open) + choice + pattern.substr(close + 1));
  }
  return out;
}

inline std::regex form_of(const std::string& pattern) {
  std::string text = std::regex_replace(pattern, std::regex(R"([.\-])"), R"(\$&)");
  text = std::regex_replace(text, std::regex(R"(<[^>]+>)"), R"((\d+))");
  return std::regex(std::regex_replace(text, std::regex(R"(\*)"), "([A-Za-z0-9_]*)"));
}

using Values = std::map<std::string, std::string>;  // of letters and `*`

// What the places of a pattern stand for in a name of its form; nothing where numbers do not fit.
inline std::optional<Values> values_in(const std::string& pattern, const std::smatch& match) {
  Values out;
  std::size_t group = 1;
  // `<j>`, `<2j-1>`, `<i+2>`: factor, letter, shift; or a word.
  static const std::regex place_or_rest(R"(<(\d*)([a-z]+)([+-]\d+)?>|\*)");
  for (std::sregex_iterator it(pattern.begin(), pattern.end(), place_or_rest), end; it != end;
       ++it, ++group) {
    const std::string found = match.str(group);
    if (it->str() == "*") {
      out["*"] = found;
    } else if (it->str(2) != "last") {
      const int factor = it->str(1).empty() ? 1 : std::stoi(it->str(1));
      const int shift = it->str(3).empty() ? 0 : std::stoi(it->str(3));
      const int number = std::stoi(found) - shift;
      if (number < 0 || number % factor != 0) return std::nullopt;
      out[it->str(2)] = std::to_string(number / factor);
    }
  }
  return out;
}

// The pattern with values in its places. `<last>`: the largest number that `known` has there.
inline std::string filled(std::string pattern, const Values& values,
                          const std::set<std::string>& known) {
  for (const auto& [letter, value] : values) {
    const std::string place = letter == "*" ? letter : "<" + letter + ">";
    for (auto at = pattern.find(place); at != std::string::npos; at = pattern.find(place)) {
      pattern.replace(at, place.size(), value);
    }
  }
  const auto at = pattern.find("<last>");
  if (at == std::string::npos) return pattern;
  int number = 0;
  const auto with = [&](int n) {
    std::string name = pattern;
    return name.replace(at, 6, std::to_string(n));
  };
  while (known.contains(with(number + 1))) ++number;
  return with(number);
}

}  // namespace name_page

inline NamePage::NamePage(const std::filesystem::path& page) {
  std::ifstream in(page);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> cells = name_page::split(line, '|');
    if (cells.size() != 5) continue;  // "", gtrain, shape, authors, ""
    const std::vector<std::string> own = name_page::code_spans(cells[1]);
    if (own.size() != 1) continue;
    const bool biased = cells[1].find("global: biased") != std::string::npos;
    add(own.front(), name_page::code_spans(cells[3]), biased);
  }
  if (rows_.empty()) throw std::runtime_error(page.string() + ": no rows of tensor names");
}

inline void NamePage::add(const std::string& own, const std::vector<std::string>& references,
                          bool biased) {
  const std::vector<std::string> left = name_page::choices(own);
  if (references.empty()) {
    for (const std::string& name : left)
      rows_.push_back({name, "", name_page::form_of(name), std::regex(), biased});
  }
  for (const std::string& reference : references) {
    const std::vector<std::string> right = name_page::choices(reference);
    if (left.size() != 1 && left.size() != right.size()) {
      throw std::runtime_error(fmt::format("{} | {}: not as many names", own, reference));
    }
    for (std::size_t i = 0; i < right.size(); ++i) {
      const std::string& name = left[left.size() == 1 ? 0 : i];
      rows_.push_back(
          {name, right[i], name_page::form_of(name), name_page::form_of(right[i]), biased});
    }
  }
}

inline std::set<std::string> NamePage::names_of(const std::string& reference,
                                                const std::set<std::string>& known) const {
  std::set<std::string> out;
  for (const Row& row : rows_) {
    std::smatch match;
    if (row.biased && !known.contains("encoding.bias.distance")) continue;
    if (row.reference.empty() || !std::regex_match(reference, match, row.reference_form)) continue;
    const auto values = name_page::values_in(row.reference, match);
    if (!values) continue;
    const std::string name = name_page::filled(row.own, *values, known);
    if (known.contains(name)) out.insert(name);
  }
  return out;
}

inline bool NamePage::has(const std::string& name) const {
  return std::any_of(rows_.begin(), rows_.end(),
                     [&](const Row& row) { return std::regex_match(name, row.own_form); });
}

}  // namespace gtrain::support
