#include "gtrain/train/recipe_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

namespace gtrain::train {

namespace {

constexpr std::uint64_t kLongestRange = 10000;
constexpr std::string_view kDigits = "0123456789";

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of(kDigits) == std::string_view::npos;
}

std::string_view unsigned_part(std::string_view text) {
  return !text.empty() && text[0] == '-' ? text.substr(1) : text;
}

// What to write instead of a number in one of YAML 1.1's other notations; empty: none of them.
std::string other_notation(std::string_view text) {
  const std::string_view body = unsigned_part(text);
  if (body.size() > 1 && body[0] == '0' && all_digits(body)) {
    const std::size_t first = std::min(body.find_first_not_of('0'), body.size() - 1);
    return fmt::format("leading zeros are ambiguous; write {}", body.substr(first));
  }
  if (body.size() > 2 && body[0] == '0' && (body[1] == 'x' || body[1] == 'o' || body[1] == 'b')) {
    return "write it in decimal digits";
  }
  if (body.find('_') != std::string_view::npos && all_digits(body.substr(0, 1))) {
    return "write it without underscores";
  }
  if (!text.empty() && text[0] == '+') return "write it without the plus sign";
  return {};
}

std::string wrong(std::string_view expected, const RecipeNode& node) {
  std::string out = fmt::format("expected {}, got {}", expected, kind_of(node));
  if (node.kind != RecipeNode::Kind::kScalar) return out;
  if (node.quoted) return out + " (write it without quotes)";
  const std::string hint = other_notation(node.text);
  return hint.empty() ? out : out + " (" + hint + ")";
}

bool plain(const RecipeNode& node) {
  return node.kind == RecipeNode::Kind::kScalar && !node.quoted;
}

// digits [. digits] [e [sign] digits], no leading zeros, no bare dot.
bool number_shaped(std::string_view text) {
  std::string_view rest = unsigned_part(text);
  const auto eat_digits = [&] {
    const std::size_t n = std::min(rest.find_first_not_of(kDigits), rest.size());
    rest.remove_prefix(n);
    return n;
  };
  const bool zero = !rest.empty() && rest[0] == '0';
  const std::size_t whole = eat_digits();
  if (zero && whole > 1) return false;
  std::size_t fraction = 0;
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    fraction = eat_digits();
  }
  if (whole + fraction == 0) return false;
  if (!rest.empty() && (rest[0] == 'e' || rest[0] == 'E')) {
    rest.remove_prefix(1);
    if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
    if (eat_digits() == 0) return false;
  }
  return rest.empty();
}

}  // namespace

std::string kind_of(const RecipeNode& node) {
  switch (node.kind) {
    case RecipeNode::Kind::kNull:
      return "nothing";
    case RecipeNode::Kind::kList:
      return "a list";
    case RecipeNode::Kind::kMap:
      return "a map";
    case RecipeNode::Kind::kScalar:
      break;
  }
  const std::string shown = node.text.size() > 40 ? node.text.substr(0, 40) + "…" : node.text;
  return node.quoted ? '"' + shown + '"' : shown;
}

Scanned<bool> scan_bool(const RecipeNode& node) {
  if (plain(node) && node.text == "true") return {true, {}};
  if (plain(node) && node.text == "false") return {false, {}};
  return {false, fmt::format("expected true or false, got {}", kind_of(node))};
}

Scanned<std::int64_t> scan_integer(const RecipeNode& node) {
  const std::string_view body = unsigned_part(node.text);
  if (!plain(node) || !all_digits(body) || (body.size() > 1 && body[0] == '0')) {
    return {0, wrong("an integer", node)};
  }
  std::int64_t value = 0;
  const char* end = node.text.data() + node.text.size();
  if (std::from_chars(node.text.data(), end, value).ec != std::errc()) {
    return {0, fmt::format("{} does not fit into 64 bits", kind_of(node))};
  }
  return {value, {}};
}

Scanned<double> scan_number(const RecipeNode& node) {
  static constexpr std::array<std::string_view, 6> kNotFinite = {".inf", "-.inf", ".nan",
                                                                 "inf",  "-inf",  "nan"};
  if (plain(node) &&
      std::find(kNotFinite.begin(), kNotFinite.end(), node.text) != kNotFinite.end()) {
    return {0, fmt::format("expected a finite number, got {}", node.text)};
  }
  if (!plain(node) || !number_shaped(node.text)) return {0, wrong("a number", node)};
  double value = 0;
  const char* end = node.text.data() + node.text.size();
  if (std::from_chars(node.text.data(), end, value).ec != std::errc() || !std::isfinite(value)) {
    return {0, fmt::format("{} is beyond the range of a 64-bit number", kind_of(node))};
  }
  return {value, {}};
}

Scanned<std::string> scan_text(const RecipeNode& node) {
  if (node.kind == RecipeNode::Kind::kScalar) return {node.text, {}};
  return {{}, fmt::format("expected text, got {}", kind_of(node))};
}

Scanned<std::vector<std::int64_t>> scan_integers(const RecipeNode& node) {
  const std::size_t dots = node.text.find("..");
  if (node.kind != RecipeNode::Kind::kScalar || dots == std::string::npos) {
    const Scanned<std::int64_t> one = scan_integer(node);
    return {{one.value}, one.problem};
  }
  RecipeNode first, last;
  first.kind = last.kind = RecipeNode::Kind::kScalar;
  first.text = node.text.substr(0, dots);
  last.text = node.text.substr(dots + 2);
  const Scanned<std::int64_t> from = scan_integer(first), to = scan_integer(last);
  if (!from.problem.empty() || !to.problem.empty() || from.value > to.value) {
    return {{}, fmt::format("expected a range such as 0..9, got {}", kind_of(node))};
  }
  if (static_cast<std::uint64_t>(to.value) - static_cast<std::uint64_t>(from.value) >=
      kLongestRange) {
    return {{}, fmt::format("a range has at most {} numbers", kLongestRange)};
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(to.value - from.value) + 1);
  std::iota(values.begin(), values.end(), from.value);
  return {std::move(values), {}};
}

std::string print_number(double value) {
  std::array<char, 64> buffer{};
  const double size = std::fabs(value);
  const bool everyday = size == 0 || (size >= 1e-4 && size < 1e15);
  char* end = buffer.data() + buffer.size();
  const auto result = everyday ? std::to_chars(buffer.data(), end, value, std::chars_format::fixed)
                               : std::to_chars(buffer.data(), end, value);
  return {buffer.data(), result.ptr};
}

std::string print_text(const std::string& value) {
  static constexpr std::array<std::string_view, 9> kWords = {"true", "false", "yes", "no", "on",
                                                             "off",  "null",  "y",   "n"};
  bool bare = !value.empty() && (std::isalpha(static_cast<unsigned char>(value[0])) != 0);
  for (char c : value) {
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    bare = bare && (letter || std::string_view("_-./").find(c) != std::string_view::npos);
  }
  for (std::string_view word : kWords) {
    bare = bare && !(value.size() == word.size() &&
                     std::equal(word.begin(), word.end(), value.begin(), [](char a, char b) {
                       return a == std::tolower(static_cast<unsigned char>(b));
                     }));
  }
  if (bare) return value;
  std::string out = "\"";
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace gtrain::train
