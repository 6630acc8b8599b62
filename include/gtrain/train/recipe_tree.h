// A recipe between text and value: a strict YAML tree whose every node knows where it stands, and
// the list of problems found on the way. Knows no key of any recipe; train/recipe_decoder.h turns a
// tree into option structs, train/recipe_writer.h option structs into a tree and text.
//
// Strict: one document, unique keys, no aliases, anchors, merge keys or tags, depth <= 32.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gtrain::train {

constexpr int kMaxRecipeDepth = 32;
constexpr std::size_t kMaxRecipeBytes = std::size_t{1} << 20;

// Line and column of the file, from 1; or, when argument >= 0, the KEY=VALUE of that index.
struct Place {
  int argument = -1;
  int line = 1, column = 1;
};

// Collects every problem of one recipe, then throws them together.
class Problems {
 public:
  // `origin`: how the file is named in messages. `arguments`: the KEY=VALUE overrides.
  explicit Problems(std::string origin, std::vector<std::string> arguments = {});

  // `key`: dotted path ("model.width"), may be empty.
  void add(const Place& place, const std::string& key, const std::string& what);
  bool empty() const { return found_.empty(); }
  // One line a problem, in order of place: `file:line:column: key: what`, then those of the command
  // line: `command line: KEY=VALUE: what`.
  std::string text() const;
  void raise_if_any() const;  // throws base::RecipeError with text()

 private:
  struct Problem {
    Place place;
    std::string line;
  };
  std::string origin_;
  std::vector<std::string> arguments_;
  std::vector<Problem> found_;
};

struct RecipeEntry;

struct RecipeNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Place place;
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar written in quotes or as a block: text, never a number
  std::vector<RecipeNode> items;
  std::vector<RecipeEntry> entries;

  const RecipeEntry* find(std::string_view key) const;
  RecipeEntry* find(std::string_view key);
};

struct RecipeEntry {
  std::string key;
  Place place;  // of the key
  RecipeNode value;
};

// Reads one YAML document. Problems that still allow a tree (duplicate keys, aliases, …) are
// collected; those that do not (syntax, depth, size) throw at once with all problems so far.
// `argument`: index of the override whose value this is, or -1 for the file.
RecipeNode parse_tree(const std::string& yaml, int argument, Problems& problems);

// A step of a dotted path: a key of a map, or an index of a list.
struct PathStep {
  std::string key;  // empty: index
  std::size_t index = 0;
};
// "encode[0].steps" -> encode, 0, steps. Empty result: not a path.
std::vector<PathStep> parse_path(std::string_view path);

// Applies the override of index `argument`, "KEY=VALUE": the value at KEY is replaced as a whole,
// missing maps on the way are made, a list may grow by one.
void apply_override(RecipeNode& root, const std::string& text, int argument, Problems& problems);

}  // namespace gtrain::train
