#include "gtrain/train/recipe_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <tuple>
#include <utility>

#include "gtrain/base/error.h"

namespace gtrain::train {

namespace {

constexpr std::size_t kMostProblems = 100;
constexpr std::size_t kMostKeys = 1000;  // of one map: look-ups are linear

// Builds the tree from the parser's events, so that aliases are never followed and every key keeps
// its place, which yaml-cpp's own node tree does not offer.
class Builder final : public YAML::EventHandler {
 public:
  Builder(int argument, Problems& problems) : argument_(argument), problems_(problems) {}

  RecipeNode root;
  bool any = false;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (any) {
      problems_.add(place(mark), "", "a second document starts here; expected one document");
      problems_.raise_if_any();
    }
    any = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    attach(node(RecipeNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    problems_.add(place(mark), path(), "aliases (*name) are not supported; write the value out");
    attach(node(RecipeNode::Kind::kNull, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    RecipeNode scalar = node(RecipeNode::Kind::kScalar, mark);
    scalar.text = value;
    scalar.quoted = tag == "!";
    attach(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(RecipeNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(RecipeNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    RecipeNode node;
    bool has_key = false;  // of a map: the key is read, its value comes next
    bool drop = false;     // the value belongs to a refused key
    std::string key;
    Place key_place;
  };

  Place place(const YAML::Mark& mark) const { return {argument_, mark.line + 1, mark.column + 1}; }

  RecipeNode node(RecipeNode::Kind kind, const YAML::Mark& mark) const {
    RecipeNode made;
    made.kind = kind;
    made.place = place(mark);
    return made;
  }

  std::string path() const {
    std::string out;
    for (const Open& o : open_) {
      if (o.node.kind == RecipeNode::Kind::kList) {
        out += fmt::format("[{}]", o.node.items.size());
      } else if (o.has_key) {
        out += (out.empty() ? "" : ".") + o.key;
      }
    }
    return out;
  }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      problems_.add(place(mark), path(), "anchors (&name) are not supported; write the value out");
    }
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      problems_.add(place(mark), path(), "tags (!name) are not supported");
    }
  }

  void open(RecipeNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (open_.size() >= kMaxRecipeDepth) {
      problems_.add(place(mark), "", fmt::format("nested deeper than {} levels", kMaxRecipeDepth));
      problems_.raise_if_any();
    }
    Open o;
    o.node = node(kind, mark);
    open_.push_back(std::move(o));
  }

  void close() {
    RecipeNode done = std::move(open_.back().node);
    open_.pop_back();
    attach(std::move(done));
  }

  void attach(RecipeNode child) {
    if (open_.empty()) {
      root = std::move(child);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == RecipeNode::Kind::kList) {
      parent.node.items.push_back(std::move(child));
    } else if (!parent.has_key) {
      take_key(parent, child);
    } else {
      parent.has_key = false;
      if (parent.drop) return;
      parent.node.entries.push_back({parent.key, parent.key_place, std::move(child)});
    }
  }

  void take_key(Open& parent, const RecipeNode& child) {
    const std::string at = path();
    if (parent.node.entries.size() >= kMostKeys) {
      problems_.add(child.place, at, fmt::format("more than {} keys", kMostKeys));
      problems_.raise_if_any();
    }
    parent.drop = true;
    parent.key = child.text;
    parent.key_place = child.place;
    const std::string named = (at.empty() ? "" : at + ".") + child.text;
    const RecipeEntry* twin = parent.node.find(child.text);
    if (child.kind != RecipeNode::Kind::kScalar) {
      problems_.add(child.place, at, "a key must be a word");
    } else if (child.text == "<<" && !child.quoted) {
      problems_.add(child.place, at, "merge keys (<<) are not supported; write the keys out");
    } else if (twin != nullptr) {
      problems_.add(child.place, named,
                    fmt::format("duplicate key (first on line {})", twin->place.line));
    } else {
      parent.drop = false;
    }
    parent.has_key = true;
  }

  int argument_;
  Problems& problems_;
  std::vector<Open> open_;
};

std::string tab_hint(const std::string& yaml, int line) {
  std::istringstream in(yaml);
  std::string text;
  for (int i = 0; i <= line; ++i) std::getline(in, text);
  const std::string indent = text.substr(0, text.find_first_not_of(" \t"));
  return indent.find('\t') == std::string::npos ? "" : " (a tab cannot indent; use spaces)";
}

}  // namespace

Problems::Problems(std::string origin, std::vector<std::string> arguments)
    : origin_(std::move(origin)), arguments_(std::move(arguments)) {}

void Problems::add(const Place& place, const std::string& key, const std::string& what) {
  std::string line;
  if (place.argument >= 0) {
    const std::string& argument = arguments_.at(static_cast<std::size_t>(place.argument));
    const bool said = key.empty() || argument.rfind(key + "=", 0) == 0;
    line = fmt::format("command line: {}: {}{}", argument, said ? "" : key + ": ", what);
  } else {
    line = fmt::format("{}:{}:{}: {}{}", origin_, place.line, place.column,
                       key.empty() ? "" : key + ": ", what);
  }
  const bool known =
      std::any_of(found_.begin(), found_.end(), [&](const Problem& p) { return p.line == line; });
  if (!known) found_.push_back({place, std::move(line)});
}

std::string Problems::text() const {
  std::vector<Problem> sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    if (a.place.argument != b.place.argument) return a.place.argument < b.place.argument;
    return std::tie(a.place.line, a.place.column) < std::tie(b.place.line, b.place.column);
  });
  std::string out;
  for (std::size_t i = 0; i < std::min(sorted.size(), kMostProblems); ++i) {
    out += (i == 0 ? "" : "\n") + sorted[i].line;
  }
  if (sorted.size() > kMostProblems) {
    out += fmt::format("\n{}: and {} more problems", origin_, sorted.size() - kMostProblems);
  }
  return out;
}

void Problems::raise_if_any() const {
  if (!found_.empty()) throw base::RecipeError(text());
}

const RecipeEntry* RecipeNode::find(std::string_view key) const {
  for (const RecipeEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

RecipeEntry* RecipeNode::find(std::string_view key) {
  return const_cast<RecipeEntry*>(std::as_const(*this).find(key));
}

RecipeNode parse_tree(const std::string& yaml, int argument, Problems& problems) {
  if (yaml.size() > kMaxRecipeBytes) {
    problems.add({argument, 1, 1}, "", "larger than 1 MiB; expected a recipe");
    problems.raise_if_any();
  }
  Builder builder(argument, problems);
  std::istringstream in(yaml);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    problems.add({argument, std::max(e.mark.line, 0) + 1, std::max(e.mark.column, 0) + 1}, "",
                 "not YAML: " + e.msg + tab_hint(yaml, e.mark.line));
    problems.raise_if_any();
  }
  return std::move(builder.root);
}

}  // namespace gtrain::train
