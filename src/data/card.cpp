#include "gtrain/data/card.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 48;  // of anything that is counted
constexpr std::int64_t kMostCategories = std::int64_t{1} << 31;
constexpr std::size_t kMostBytes = std::size_t{1} << 20;

// Collects every problem of one card with its place.
class Problems {
 public:
  explicit Problems(std::string path) : path_(std::move(path)) {}
  void add(const YAML::Mark& mark, const std::string& what) {
    text_ += fmt::format("{}{}:{}:{}: {}", text_.empty() ? "" : "\n", path_, mark.line + 1,
                         mark.column + 1, what);
  }
  void raise() const {
    if (!text_.empty()) throw base::DataError(text_);
  }

 private:
  std::string path_;
  std::string text_;
};

using Reader = std::function<void(const YAML::Node&)>;

// One mapping against the table of its keys.
void read_map(const YAML::Node& node, const std::map<std::string, Reader>& keys,
              Problems& problems) {
  if (!node.IsMap()) return problems.add(node.Mark(), "expected a mapping of keys");
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    const auto known = keys.find(key);
    if (!seen.insert(key).second) {
      problems.add(entry.first.Mark(), key + ": stands twice");
    } else if (known == keys.end()) {
      std::string names;
      for (const auto& [name, reader] : keys) names += (names.empty() ? "" : ", ") + name;
      problems.add(entry.first.Mark(), fmt::format("{}: unknown key; known: {}", key, names));
    } else {
      known->second(entry.second);
    }
  }
}

class Decoder {
 public:
  explicit Decoder(Problems& problems) : problems_(problems) {}

  Reader text(std::string& out) {
    return [this, &out](const YAML::Node& n) {
      if (!n.IsScalar()) return problems_.add(n.Mark(), "expected text");
      out = n.Scalar();
    };
  }
  Reader flag(std::optional<bool>& out) {
    return [this, &out](const YAML::Node& n) {
      const std::string s = n.IsScalar() ? n.Scalar() : "";
      if (s != "true" && s != "false") return problems_.add(n.Mark(), "expected true or false");
      out = s == "true";
    };
  }
  template <class Number, class Out>
  Reader number(Out& out) {
    return [this, &out](const YAML::Node& n) {
      if (const auto value = parse<Number>(n)) out = *value;
    };
  }
  Reader numbers(std::vector<std::int64_t>& out) {
    return [this, &out](const YAML::Node& n) {
      if (!n.IsSequence()) return problems_.add(n.Mark(), "expected a list of whole numbers");
      for (const YAML::Node& element : n) {
        const auto value = parse<std::int64_t>(element);
        if (value && *value > kMostCategories) {
          problems_.add(element.Mark(),
                        fmt::format("{} categories; expected at most {}", *value, kMostCategories));
        }
        if (value) out.push_back(*value);
      }
    };
  }
  Reader texts(std::vector<std::string>& out) {
    return [this, &out](const YAML::Node& n) {
      if (!n.IsSequence()) return problems_.add(n.Mark(), "expected a list of names");
      for (const YAML::Node& element : n) text(out.emplace_back())(element);
    };
  }
  Reader shape(Shape& out) {
    return [this, &out](const YAML::Node& n) {
      read_map(n,
               {{"nodes", number<double>(out.nodes)},
                {"edges", number<double>(out.edges)},
                {"node_columns", number<std::int64_t>(out.node_columns)},
                {"edge_columns", number<std::int64_t>(out.edge_columns)},
                {"labels", number<std::int64_t>(out.labels)},
                {"pairs", number<double>(out.pairs)}},
               problems_);
    };
  }
  Reader baselines(std::vector<Published>& out) {
    return [this, &out](const YAML::Node& n) {
      if (!n.IsSequence()) return problems_.add(n.Mark(), "expected a list");
      for (const YAML::Node& element : n) {
        Published& p = out.emplace_back();
        read_map(element,
                 {{"model", text(p.model)},
                  {"value", number<double>(p.value)},
                  {"std", number<double>(p.std)},
                  {"runs", number<std::int64_t>(p.runs)},
                  {"parameters", number<std::int64_t>(p.parameters)},
                  {"source", text(p.source)}},
                 problems_);
      }
    };
  }

 private:
  template <class Number>
  std::optional<Number> parse(const YAML::Node& n) {
    const std::string s = n.IsScalar() ? n.Scalar() : "";
    Number value{};
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
    if (s.empty() || error != std::errc{} || end != s.data() + s.size() || value < Number{0}) {
      problems_.add(n.Mark(), fmt::format("'{}'; expected a number, 0 or more", s));
      return std::nullopt;
    }
    if (value > Number{kMost}) {
      problems_.add(n.Mark(), fmt::format("'{}'; expected at most {}", s, kMost));
      return std::nullopt;
    }
    return value;
  }

  Problems& problems_;
};

}  // namespace

Card read_card(const std::filesystem::path& path) {
  const std::string text = base::read_file(path);
  if (text.size() > kMostBytes) {
    throw base::DataError(
        fmt::format("{}: {} bytes; expected a card below 1 MiB", path.string(), text.size()));
  }
  Problems problems(path.string());
  Card card;
  Decoder d(problems);
  try {
    read_map(YAML::Load(text),
             {{"name", d.text(card.name)},
              {"title", d.text(card.title)},
              {"source", d.text(card.source)},
              {"licence", d.text(card.licence)},
              {"sha256", d.text(card.sha256)},
              {"folders", d.texts(card.folders)},
              {"graphs", d.number<std::int64_t>(card.graphs)},
              {"nodes", d.number<std::int64_t>(card.nodes)},
              {"edges", d.number<std::int64_t>(card.edges)},
              {"task", d.text(card.task)},
              {"metric", d.text(card.metric)},
              {"split", d.text(card.split)},
              {"add_inverse_edge", d.flag(card.add_inverse_edge)},
              {"features", d.text(card.features)},
              {"node_categories", d.numbers(card.node_categories)},
              {"edge_categories", d.numbers(card.edge_categories)},
              {"classes", d.number<std::int64_t>(card.classes)},
              {"shape", d.shape(card.shape)},
              {"published", d.baselines(card.published)}},
             problems);
  } catch (const YAML::Exception& e) {
    problems.add(e.mark, e.msg);
  }
  problems.raise();
  return card;
}

}  // namespace gtrain::data
