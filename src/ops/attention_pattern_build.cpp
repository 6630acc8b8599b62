#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/top_m.h"
#include "ops/detail/counter_random.h"
#include "ops/detail/edge_check.h"
#include "ops/detail/pattern_builder.h"

namespace gtrain::ops {
namespace {

using detail::build_pattern;
using detail::PairSink;
using Index = std::int64_t;

// The graphs of a packed batch.
class Graphs {
 public:
  explicit Graphs(const at::Tensor& graph_start)
      : start_((detail::check_graph_start(graph_start), graph_start.contiguous())) {}

  Index count() const { return start_.size(0) - 1; }
  Index nodes() const { return begin(count()); }
  Index begin(Index g) const { return start_.const_data_ptr<Index>()[g]; }
  Index end(Index g) const { return begin(g + 1); }
  Index size(Index g) const { return end(g) - begin(g); }
  // The graph of a node.
  Index of(Index node) const {
    const Index* s = start_.const_data_ptr<Index>();
    return std::upper_bound(s, s + count() + 1, node) - s - 1;
  }

 private:
  at::Tensor start_;
};

void check_at_least(const char* pattern, const char* option, Index value, Index least) {
  TORCH_CHECK(value >= least, "[", pattern, "_pattern] ", option, " is ", value,
              "; expected at least ", least);
}

void check_edges(const char* pattern, const Graphs& graphs, const EdgeIndex& edges) {
  detail::check_edge_index((std::string(pattern) + "_pattern").c_str(), edges);
  TORCH_CHECK(edges.nodes() == graphs.nodes(), "[", pattern, "_pattern] edges have ", edges.nodes(),
              " nodes; expected ", graphs.nodes(), " as graph_start");
  // Once a batch, and what is built from them is written through.
  const Index* source = edges.source.const_data_ptr<Index>();
  for (Index e = 0; e < edges.count(); ++e) {
    TORCH_CHECK(source[e] >= 0 && source[e] < graphs.nodes(), "[", pattern, "_pattern] edge ", e,
                " comes from node ", source[e], "; expected [0, ", graphs.nodes(), ")");
  }
}

// The streams of random numbers of the graphs.
std::vector<Index> stream_ids(const char* pattern, const Graphs& graphs, const at::Tensor& id) {
  std::vector<Index> ids(static_cast<std::size_t>(graphs.count()), 0);
  if (!id.defined()) return ids;
  TORCH_CHECK(id.dim() == 1 && id.size(0) == graphs.count(), "[", pattern,
              "_pattern] graph_id has shape ", id.sizes(), "; expected [", graphs.count(), "]");
  const at::Tensor given = id.to(at::kLong).contiguous();
  std::copy_n(given.const_data_ptr<Index>(), graphs.count(), ids.begin());
  return ids;
}

// Nodes reached so far from one row, in a buffer that a thread reuses.
class Reach {
 public:
  static Reach& of_this_thread(Index nodes) {
    static thread_local Reach reach;
    if (static_cast<Index>(reach.seen_.size()) < nodes) {
      reach.seen_.resize(static_cast<std::size_t>(nodes), 0);
    }
    if (++reach.round_ == 0) {
      std::fill(reach.seen_.begin(), reach.seen_.end(), 0u);
      reach.round_ = 1;
    }
    reach.found.clear();
    return reach;
  }
  void visit(Index node, Index distance) {
    std::uint32_t& seen = seen_[static_cast<std::size_t>(node)];
    if (seen == round_) return;
    seen = round_;
    found.emplace_back(node, distance);
  }
  std::vector<std::pair<Index, Index>> found;  // node, distance

 private:
  std::vector<std::uint32_t> seen_;
  std::uint32_t round_ = 0;
};

// `wanted` different numbers below `bound`, ascending (Floyd's sampling).
std::vector<Index> sample(Index wanted, Index bound, detail::CounterRandom& random) {
  std::vector<Index> chosen;
  for (Index j = bound - wanted; j < bound; ++j) {
    const Index drawn = random.below(j + 1);
    const auto at = std::lower_bound(chosen.begin(), chosen.end(), drawn);
    if (at != chosen.end() && *at == drawn) {
      chosen.push_back(j);  // larger than all so far
    } else {
      chosen.insert(at, drawn);
    }
  }
  return chosen;
}

// next[node] and previous[node] of one random permutation per graph.
struct Permutation {
  std::vector<std::int32_t> next, previous;
};

void permute(const Graphs& graphs, Index g, ExpanderKind kind, detail::CounterRandom random,
             Permutation& permutation) {
  const Index n = graphs.size(g), first = graphs.begin(g);
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), static_cast<std::int32_t>(first));
  for (Index i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(random.below(i + 1))]);
  }
  for (Index i = 0; i < n; ++i) {
    const std::int32_t to = order[static_cast<std::size_t>(i)];
    const std::int32_t from = kind == ExpanderKind::kPermutation
                                  ? static_cast<std::int32_t>(first + i)
                                  : order[static_cast<std::size_t>(i == 0 ? n - 1 : i - 1)];
    permutation.next[static_cast<std::size_t>(from)] = to;
    permutation.previous[static_cast<std::size_t>(to)] = from;
  }
}

}  // namespace

AttentionPattern listed(const AttentionPattern& pattern) {
  if (!pattern.full()) return pattern;
  const Graphs graphs(pattern.graph_start);
  return build_pattern(pattern.graph_start, graphs.nodes(), graphs.nodes(), 1,
                       [&](Index i, PairSink& sink) {
                         const Index g = graphs.of(i);
                         for (Index j = graphs.begin(g); j < graphs.end(g); ++j) sink.add(j);
                       });
}

AttentionPattern neighbour_pattern(const at::Tensor& graph_start, const EdgeIndex& edges,
                                   const NeighbourOptions& options) {
  const Graphs graphs(graph_start);
  check_edges("neighbour", graphs, edges);
  const Index *start = edges.in_start.const_data_ptr<Index>(),
              *source = edges.source.const_data_ptr<Index>();
  return build_pattern(graph_start, graphs.nodes(), graphs.nodes(), 1,
                       [&](Index i, PairSink& sink) {
                         bool pending = options.self;
                         for (Index e = start[i]; e < start[i + 1]; ++e) {
                           if (pending && source[e] >= i) {
                             if (source[e] > i) sink.add(i);
                             pending = false;
                           }
                           sink.add(source[e]);
                         }
                         if (pending) sink.add(i);
                       });
}

AttentionPattern k_hop_pattern(const at::Tensor& graph_start, const EdgeIndex& edges,
                               const KHopOptions& options) {
  const Graphs graphs(graph_start);
  check_edges("k_hop", graphs, edges);
  check_at_least("k_hop", "hops", options.hops, 0);
  TORCH_CHECK(options.hops < 256, "[k_hop_pattern] hops is ", options.hops,
              "; expected less than 256");
  const Index *start = edges.in_start.const_data_ptr<Index>(),
              *source = edges.source.const_data_ptr<Index>();
  return build_pattern(graph_start, graphs.nodes(), graphs.nodes(), options.hops + 1,
                       [&](Index i, PairSink& sink) {
                         Reach& reach = Reach::of_this_thread(graphs.nodes());
                         reach.visit(i, 0);
                         for (std::size_t next = 0; next < reach.found.size(); ++next) {
                           const auto [node, distance] = reach.found[next];
                           if (distance == options.hops) break;
                           for (Index e = start[node]; e < start[node + 1]; ++e)
                             reach.visit(source[e], distance + 1);
                         }
                         std::sort(reach.found.begin(), reach.found.end());
                         for (const auto& [node, distance] : reach.found) {
                           if (distance > 0 || options.self) sink.add(node, distance);
                         }
                       });
}

AttentionPattern window_pattern(const at::Tensor& graph_start, const WindowOptions& options) {
  const Graphs graphs(graph_start);
  check_at_least("window", "width", options.width, 0);
  check_at_least("window", "dilation", options.dilation, 1);
  return build_pattern(
      graph_start, graphs.nodes(), graphs.nodes(), 1, [&](Index i, PairSink& sink) {
        const Index g = graphs.of(i);
        const Index below = (i - graphs.begin(g)) / options.dilation;
        const Index above = (graphs.end(g) - 1 - i) / options.dilation;
        for (Index s = -std::min(options.width, below); s <= std::min(options.width, above); ++s) {
          if (s != 0 || options.self) sink.add(i + s * options.dilation);
        }
      });
}

AttentionPattern random_pattern(const at::Tensor& graph_start, const RandomPairOptions& options) {
  const Graphs graphs(graph_start);
  check_at_least("random", "degree", options.degree, 0);
  const std::vector<Index> id = stream_ids("random", graphs, options.graph_id);
  return build_pattern(
      graph_start, graphs.nodes(), graphs.nodes(), 1, [&](Index i, PairSink& sink) {
        const Index g = graphs.of(i), first = graphs.begin(g), others = graphs.size(g) - 1;
        const std::uint64_t stream =
            detail::row_key(static_cast<std::uint64_t>(id[static_cast<std::size_t>(g)]),
                            static_cast<std::uint64_t>(i - first));
        detail::CounterRandom random(options.seed, stream);
        for (const Index j : sample(std::min(options.degree, others), others, random)) {
          sink.add(first + j < i ? first + j : first + j + 1);
        }
      });
}

AttentionPattern expander_pattern(const at::Tensor& graph_start, const ExpanderOptions& options) {
  const Graphs graphs(graph_start);
  check_at_least("expander", "degree", options.degree, 0);
  const std::vector<Index> id = stream_ids("expander", graphs, options.graph_id);
  std::vector<Permutation> permutations(static_cast<std::size_t>(options.degree));
  for (Permutation& p : permutations) {
    p.next.resize(static_cast<std::size_t>(graphs.nodes()));
    p.previous.resize(static_cast<std::size_t>(graphs.nodes()));
  }
  detail::parallel_tasks(options.degree * graphs.count(), graphs.nodes() < 4096, [&](Index t) {
    const Index g = t % graphs.count(), layer = t / graphs.count();
    const std::uint64_t stream =
        detail::row_key(static_cast<std::uint64_t>(id[static_cast<std::size_t>(g)]),
                        static_cast<std::uint64_t>(layer));
    permute(graphs, g, options.kind, detail::CounterRandom(options.seed, stream),
            permutations[static_cast<std::size_t>(layer)]);
  });
  return build_pattern(
      graph_start, graphs.nodes(), graphs.nodes(), 1, [&](Index i, PairSink& sink) {
        std::vector<std::int32_t> partners;
        for (const Permutation& p : permutations) {
          partners.push_back(p.next[static_cast<std::size_t>(i)]);
          partners.push_back(p.previous[static_cast<std::size_t>(i)]);
        }
        std::sort(partners.begin(), partners.end());
        partners.erase(std::unique(partners.begin(), partners.end()), partners.end());
        for (const std::int32_t j : partners) {
          if (j != i) sink.add(j);
        }
      });
}

AttentionPattern global_pattern(const at::Tensor& graph_start, const GlobalOptions& options) {
  const Graphs graphs(graph_start);
  check_at_least("global", "count", options.count, 0);
  return build_pattern(graph_start, graphs.nodes(), graphs.nodes(), 2,
                       [&](Index i, PairSink& sink) {
                         const Index g = graphs.of(i), first = graphs.begin(g);
                         const Index last = std::min(graphs.end(g), first + options.count);
                         const bool is_global = i < last;
                         for (Index j = first; j < (is_global ? graphs.end(g) : last); ++j) {
                           if (j != i) sink.add(j, is_global ? 0 : 1);
                         }
                       });
}

AttentionPattern virtual_pattern(const at::Tensor& graph_start, const VirtualOptions& options) {
  const Graphs graphs(graph_start);
  check_at_least("virtual", "count", options.count, 0);
  const Index n = graphs.nodes(), rows = n + graphs.count() * options.count;
  return build_pattern(graph_start, rows, rows, 2, [&](Index i, PairSink& sink) {
    if (i >= n) {
      const Index g = (i - n) / options.count;
      for (Index j = graphs.begin(g); j < graphs.end(g); ++j) sink.add(j, 0);
      return;
    }
    const Index first = n + graphs.of(i) * options.count;
    for (Index j = first; j < first + options.count; ++j) sink.add(j, 1);
  });
}

AttentionPattern union_pattern(const std::vector<AttentionPattern>& given) {
  TORCH_CHECK(!given.empty(), "[union_pattern] no parts; expected at least one");
  std::vector<AttentionPattern> parts;
  std::vector<Index> offset;
  Index rows = 0, columns = 0, types = 0;
  for (const AttentionPattern& part : given) {
    TORCH_CHECK(part.graph_start.equal(given[0].graph_start), "[union_pattern] part ", parts.size(),
                " is of another batch; expected one graph_start");
    parts.push_back(listed(part));
    offset.push_back(types);
    types += part.types;
    rows = std::max(rows, part.rows());
    columns = std::max(columns, part.columns());
  }
  TORCH_CHECK(types <= 256, "[union_pattern] ", types, " types in all; expected at most 256");
  struct Pair {
    std::int32_t column, type;
  };
  return build_pattern(given[0].graph_start, rows, columns, types, [&](Index i, PairSink& sink) {
    std::vector<Pair> pairs;
    for (std::size_t s = 0; s < parts.size(); ++s) {
      const AttentionPattern& part = parts[s];
      if (i >= part.rows()) continue;
      const auto* start = part.row_start.const_data_ptr<Index>();
      const auto* column = part.column.const_data_ptr<std::int32_t>();
      const auto* type = part.type.defined() ? part.type.const_data_ptr<std::uint8_t>() : nullptr;
      for (Index p = start[i]; p < start[i + 1]; ++p) {
        pairs.push_back(
            {column[p], static_cast<std::int32_t>(offset[s]) + (type != nullptr ? type[p] : 0)});
      }
    }
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const Pair& a, const Pair& b) { return a.column < b.column; });
    for (std::size_t x = 0; x < pairs.size(); ++x) {
      if (x == 0 || pairs[x].column != pairs[x - 1].column)
        sink.add(pairs[x].column, pairs[x].type);
    }
  });
}

AttentionPattern top_m_pattern(const AttentionPattern& given, const at::Tensor& scores, Index m) {
  const AttentionPattern pattern = listed(given);
  TORCH_CHECK(scores.dim() == 1 && scores.size(0) == pattern.pairs(),
              "[top_m_pattern] scores has shape ", scores.sizes(), "; expected [", pattern.pairs(),
              "]");
  check_at_least("top_m", "m", m, 0);
  const Selection kept = top_m(scores.detach(), pattern.row_start, m);
  return csr_pattern(
      pattern.graph_start, kept.start, pattern.column.index_select(0, kept.index),
      pattern.columns(),
      pattern.type.defined() ? pattern.type.index_select(0, kept.index) : pattern.type,
      pattern.types);
}

}  // namespace gtrain::ops
