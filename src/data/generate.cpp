#include "gtrain/data/generate.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/random.h"

namespace gtrain::data {
namespace {

namespace fs = std::filesystem;
using base::Random;

struct Graph {
  std::int64_t nodes = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> edges;       // each once
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;       // edge tasks, one label each
  std::vector<std::string> node_features, edge_features, labels;  // lines
};

std::int64_t between(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
}

// Renames nodes by a random permutation, so that the order gives nothing away.
void relabel(Graph& g, Random& random) {
  const std::vector<std::int64_t> to = random.permutation(g.nodes);
  for (auto* ends : {&g.edges, &g.pairs}) {
    for (auto& [a, b] : *ends) {
      a = to[static_cast<std::size_t>(a)];
      b = to[static_cast<std::size_t>(b)];
    }
  }
  const auto move = [&](std::vector<std::string>& lines) {
    if (lines.size() != to.size()) return;
    std::vector<std::string> moved(lines.size());
    for (std::size_t i = 0; i < to.size(); ++i) {
      moved[static_cast<std::size_t>(to[i])] = lines[i];
    }
    lines = std::move(moved);
  };
  move(g.node_features);
  move(g.labels);
}

// Community of each node; edges with `within` inside a community and `across` between two.
std::vector<std::int64_t> blocks(Graph& g, Random& random, std::int64_t communities, double within,
                                 double across) {
  std::vector<std::int64_t> community;
  for (std::int64_t c = 0; c < communities; ++c) {
    community.insert(community.end(), static_cast<std::size_t>(between(random, 5, 34)), c);
  }
  g.nodes = static_cast<std::int64_t>(community.size());
  for (std::int64_t i = 0; i < g.nodes; ++i) {
    for (std::int64_t j = i + 1; j < g.nodes; ++j) {
      const bool same =
          community[static_cast<std::size_t>(i)] == community[static_cast<std::size_t>(j)];
      if (random.uniform() < (same ? within : across)) g.edges.emplace_back(i, j);
    }
  }
  return community;
}

Graph cluster(std::int64_t, std::uint64_t, Random& random) {
  constexpr std::int64_t kCommunities = 6;
  Graph g;
  const auto community = blocks(g, random, kCommunities, 0.55, 0.25);
  g.node_features.assign(community.size(), "0");
  std::int64_t first = 0;
  for (std::int64_t c = 0; c < kCommunities; ++c) {
    const auto size = std::count(community.begin(), community.end(), c);
    const std::int64_t marked = first + between(random, 0, size - 1);
    g.node_features[static_cast<std::size_t>(marked)] = fmt::format("{}", c + 1);
    first += size;
  }
  for (const std::int64_t c : community) g.labels.push_back(fmt::format("{}", c));
  relabel(g, random);
  return g;
}

Graph pattern(std::int64_t id, std::uint64_t seed, Random& random) {
  constexpr std::int64_t kPatterns = 100;
  const auto value = [](Random& r) { return fmt::format("{}", r.below(3)); };
  Graph g;
  blocks(g, random, 5, 0.5, 0.35);
  const std::int64_t base = g.nodes;
  for (std::int64_t i = 0; i < base; ++i) {
    g.node_features.push_back(value(random));
    g.labels.emplace_back("0");
  }
  // The pattern depends on its number alone: its graphs share edges and values.
  Random own(base::key(seed, base::Purpose::kGenerate, -1, id % kPatterns));
  const std::int64_t size = between(own, 5, 34);
  g.nodes += size;
  for (std::int64_t i = base; i < g.nodes; ++i) {
    g.node_features.push_back(value(own));
    g.labels.emplace_back("1");
    for (std::int64_t j = i + 1; j < g.nodes; ++j) {
      if (own.uniform() < 0.5) g.edges.emplace_back(i, j);
    }
    for (std::int64_t j = 0; j < base; ++j) {
      if (random.uniform() < 0.5) g.edges.emplace_back(j, i);
    }
  }
  relabel(g, random);
  return g;
}

constexpr std::array<std::int64_t, 10> kSkips{2, 3, 4, 5, 6, 9, 11, 12, 13, 16};

Graph skip_links(std::int64_t id, std::uint64_t, Random& random) {
  constexpr std::int64_t kNodes = 41;
  Graph g;
  g.nodes = kNodes;
  const auto kind = static_cast<std::size_t>(id) % kSkips.size();
  for (std::int64_t i = 0; i < kNodes; ++i) {
    g.edges.emplace_back(i, (i + 1) % kNodes);
    g.edges.emplace_back(i, (i + kSkips[kind]) % kNodes);
  }
  g.node_features.assign(kNodes, "0");
  g.edge_features.assign(g.edges.size(), "0");
  relabel(g, random);
  g.labels = {fmt::format("{}", kind)};
  return g;
}

Graph molecule(std::int64_t, std::uint64_t, Random& random) {
  constexpr std::int64_t kAtoms[] = {5, 5, 5, 5, 6, 7, 8, 15, 16};
  Graph g;
  g.nodes = between(random, 6, 40);
  std::vector<std::int64_t> degree(static_cast<std::size_t>(g.nodes), 0);
  const auto free = [&](std::int64_t i) { return degree[static_cast<std::size_t>(i)] < 4; };
  const auto join = [&](std::int64_t i, std::int64_t j) {
    g.edges.emplace_back(i, j);
    ++degree[static_cast<std::size_t>(i)];
    ++degree[static_cast<std::size_t>(j)];
    g.edge_features.push_back(fmt::format("{},0,{}", random.below(3), random.below(2)));
  };
  for (std::int64_t i = 1; i < g.nodes; ++i) {
    std::int64_t parent = between(random, std::max<std::int64_t>(0, i - 5), i - 1);
    while (!free(parent)) parent = (parent + 1) % i;
    join(parent, i);
  }
  std::int64_t rings = 0;
  for (std::int64_t i = 0; i + 5 < g.nodes; i += 6) {
    if (random.uniform() < 0.6 && free(i) && free(i + 5)) {
      join(i, i + 5);
      ++rings;
    }
  }
  const auto branched = std::count_if(degree.begin(), degree.end(), [](auto d) { return d > 2; });
  for (const std::int64_t d : degree) {
    g.node_features.push_back(
        fmt::format("{},0,{},5,{},0,{},0,{}", kAtoms[random.below(std::size(kAtoms))], d,
                    std::max<std::int64_t>(0, 4 - d), random.below(3), random.below(2)));
  }
  g.labels = {
      fmt::format("{}", 0.5 * static_cast<double>(rings) - 0.1 * static_cast<double>(branched))};
  return g;
}

using Place = std::array<std::int64_t, 3>;

// The six places beside one on a cubic lattice.
std::array<Place, 6> beside(const Place& p) {
  std::array<Place, 6> out;
  for (std::size_t k = 0; k < out.size(); ++k) {
    out[k] = p;
    out[k][k / 2] += k % 2 == 0 ? 1 : -1;
  }
  return out;
}

// A walk over distinct places; shorter where it runs into a dead end.
std::vector<Place> walk(std::int64_t nodes, Random& random) {
  std::vector<Place> out{{0, 0, 0}};
  while (static_cast<std::int64_t>(out.size()) < nodes) {
    std::vector<Place> free;
    for (const Place& p : beside(out.back())) {
      if (std::find(out.begin(), out.end(), p) == out.end()) free.push_back(p);
    }
    if (free.empty()) break;
    out.push_back(free[random.below(free.size())]);
  }
  return out;
}

// A chain folded on a lattice; each node says how many others it touches.
Graph chain(std::int64_t, std::uint64_t, Random& random) {
  Graph g;
  while (g.pairs.empty()) {
    const std::vector<Place> places = walk(between(random, 16, 32), random);
    g = {};
    g.nodes = static_cast<std::int64_t>(places.size());
    std::vector<std::int64_t> contacts(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (i > 0) g.edges.emplace_back(i - 1, i);
      for (const Place& p : beside(places[i])) {
        const auto j =
            static_cast<std::size_t>(std::find(places.begin(), places.end(), p) - places.begin());
        if (j == places.size() || j + 1 == i || i + 1 == j) continue;
        ++contacts[i];
        if (i < j) g.pairs.emplace_back(i, j);
      }
    }
    for (const std::int64_t c : contacts) g.node_features.push_back(fmt::format("{}", c));
  }
  g.labels.assign(g.pairs.size(), "1");
  relabel(g, random);
  return g;
}

struct Kind {
  std::string_view name;
  std::int64_t graphs, train, valid;  // published; the rest is test
  bool node_labels;
  const char* task;
  const char* metric;
  const char* columns;  // further lines of the card
  Graph (*make)(std::int64_t id, std::uint64_t seed, Random& random);
};

constexpr std::array<Kind, 5> kKinds{{
    {"sbm_pattern", 14000, 10000, 2000, true, "node_class", "accuracy_sbm",
     "node_categories: [3]\nclasses: 2\n", pattern},
    {"sbm_cluster", 12000, 10000, 1000, true, "node_class", "accuracy_sbm",
     "node_categories: [7]\nclasses: 6\n", cluster},
    {"csl", 150, 90, 30, false, "graph_class", "acc",
     "node_categories: [1]\nedge_categories: [1]\nclasses: 10\n", skip_links},
    {"molecules", 10000, 8000, 1000, false, "graph_regression", "mae", "features: ogb_mol\n",
     molecule},
    {"contacts", 1000, 800, 100, false, "edge_binary", "graph_mrr", "node_categories: [6]\n",
     chain},
}};

std::string gzipped(const std::string& text) {
  z_stream s{};
  if (deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw base::ResourceError("zlib: no memory for a deflate state");
  }
  std::string out(deflateBound(&s, text.size()), '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  const int rc = deflate(&s, Z_FINISH);
  out.resize(s.total_out);
  deflateEnd(&s);
  if (rc != Z_STREAM_END) throw base::ResourceError("zlib: a file of 4 GiB or more");
  return out;
}

void append(std::string& text, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) text += line + '\n';
}

void write_lines(const fs::path& path, const std::vector<std::int64_t>& ids) {
  std::string text;
  for (const std::int64_t id : ids) text += fmt::format("{}\n", id);
  base::write_durable(path, gzipped(text));
}

// Five folds of equal classes for csl (graph id mod 10 is the class), else one random split.
void write_splits(const fs::path& out, const Kind& kind, std::int64_t graphs, std::uint64_t seed) {
  const bool folded = kind.name == "csl";
  const auto order = Random(base::key(seed, base::Purpose::kGenerate, -2)).permutation(graphs);
  for (std::int64_t fold = 0; fold < (folded ? 5 : 1); ++fold) {
    std::array<std::vector<std::int64_t>, 3> parts;
    for (std::int64_t i = 0; i < graphs; ++i) {
      const std::int64_t part = (i / 10 + fold) % 5;
      const auto share = [&](std::int64_t count) { return i * kind.graphs < count * graphs; };
      const bool train = folded ? part > 1 : share(kind.train);
      const bool valid = folded ? part == 1 : share(kind.train + kind.valid);
      const std::int64_t id = folded ? i : order[static_cast<std::size_t>(i)];
      parts[train ? 0 : valid ? 1 : 2].push_back(id);
    }
    const fs::path folder = out / "split" / (folded ? fmt::format("fold{}", fold) : "random");
    base::make_directory(folder);
    for (auto& part : parts) std::sort(part.begin(), part.end());
    write_lines(folder / "train.csv.gz", parts[0]);
    write_lines(folder / "valid.csv.gz", parts[1]);
    write_lines(folder / "test.csv.gz", parts[2]);
  }
}

void write_raw(const fs::path& raw, const Kind& kind, std::int64_t graphs, std::uint64_t seed) {
  std::string nodes, counts, edges, node_features, edge_features, labels, pairs, pair_counts;
  for (std::int64_t id = 0; id < graphs; ++id) {
    Random random(base::key(seed, base::Purpose::kGenerate, id));
    const Graph g = kind.make(id, seed, random);
    nodes += fmt::format("{}\n", g.nodes);
    counts += fmt::format("{}\n", g.edges.size());
    for (const auto& [a, b] : g.edges) edges += fmt::format("{},{}\n", a, b);
    for (const auto& [a, b] : g.pairs) pairs += fmt::format("{},{}\n", a, b);
    pair_counts += fmt::format("{}\n", g.pairs.size());
    append(node_features, g.node_features);
    append(edge_features, g.edge_features);
    append(labels, g.labels);
  }
  base::make_directory(raw);
  base::write_durable(raw / "num-node-list.csv.gz", gzipped(nodes));
  base::write_durable(raw / "num-edge-list.csv.gz", gzipped(counts));
  base::write_durable(raw / "edge.csv.gz", gzipped(edges));
  base::write_durable(raw / "node-feat.csv.gz", gzipped(node_features));
  if (!edge_features.empty()) {
    base::write_durable(raw / "edge-feat.csv.gz", gzipped(edge_features));
  }
  if (!pairs.empty()) {
    base::write_durable(raw / "pair.csv.gz", gzipped(pairs));
    base::write_durable(raw / "num-pair-list.csv.gz", gzipped(pair_counts));
  }
  const char* label = !pairs.empty()     ? "pair-label.csv.gz"
                      : kind.node_labels ? "node-label.csv.gz"
                                         : "graph-label.csv.gz";
  base::write_durable(raw / label, gzipped(labels));
}

}  // namespace

std::vector<std::string_view> generators() {
  std::vector<std::string_view> names;
  for (const Kind& kind : kKinds) names.push_back(kind.name);
  return names;
}

void generate(const std::string& name, const GenerateOptions& options, const fs::path& out) {
  const auto kind =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.name == name; });
  if (kind == kKinds.end()) {
    std::string known;
    for (const auto& k : generators()) known += fmt::format("{}{}", known.empty() ? "" : ", ", k);
    throw base::RecipeError(fmt::format("data generate: {}: unknown; known: {}", name, known));
  }
  if (fs::exists(out)) {
    throw base::DataError(fmt::format("{}: exists; expected a new folder", out.string()));
  }
  std::int64_t graphs = options.graphs > 0 ? options.graphs : kind->graphs;
  if (kind->name == "csl") graphs = (graphs + 49) / 50 * 50;
  write_raw(out / "raw", *kind, graphs, options.seed);
  write_splits(out, *kind, graphs, options.seed);
  base::write_durable(
      out / "card.yaml",
      fmt::format("name: {0}\ntitle: \"synthetic {0}, {1} graphs, seed {2}\"\n"
                  "source: \"gtrain data generate {0}\"\nlicence: \"no rights claimed\"\n"
                  "graphs: {1}\ntask: {3}\nmetric: {4}\nsplit: {5}\nadd_inverse_edge: true\n{6}",
                  kind->name, graphs, options.seed, kind->task, kind->metric,
                  kind->name == "csl" ? "fold0" : "random", kind->columns));
}

}  // namespace gtrain::data
