#include "gtrain/sparsify/token_gate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "gtrain/ops/linear.h"
#include "gtrain/ops/segment.h"
#include "gtrain/sparsify/attention_score.h"
#include "gtrain/sparsify/compact.h"

namespace gtrain::sparsify {
namespace {

constexpr std::int64_t kWhole = 1'000'000'000;
constexpr double kTie = 1e-4;       // of the range of scores
constexpr double kRounding = 1e-5;  // of the size of what they are sums of, in fp32

// What counts as a tie between scores; 0 where their range is no number.
double tie_of(const double* begin, const double* end) {
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (const double* s = begin; s != end; ++s) {
    if (std::isnan(*s)) continue;
    least = std::min(least, *s);
    most = std::max(most, *s);
  }
  const double range = most - least;
  return range > 0 && std::isfinite(range) ? kTie * range : 0;
}

// Of the scores [0, n) the k largest, ascending; see keep_largest.
std::vector<std::int64_t> largest_of(const double* score, std::int64_t n, std::int64_t k,
                                     double least_tie) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (k >= n || k <= 0) return k <= 0 ? std::vector<std::int64_t>() : order;
  const auto larger = [&](std::int64_t a, std::int64_t b) {
    const bool na = std::isnan(score[a]), nb = std::isnan(score[b]);
    if (na != nb) return nb;
    if (!na && score[a] != score[b]) return score[a] > score[b];
    return a < b;
  };
  std::nth_element(order.begin(), order.begin() + k - 1, order.end(), larger);
  const std::int64_t last = order[static_cast<std::size_t>(k - 1)];
  const double tie = std::max(least_tie, tie_of(score, score + n));
  std::vector<std::int64_t> out, equal;
  for (std::int64_t i = 0; i < n; ++i) {
    if (std::isnan(score[last]) ? larger(i, last) || i == last : score[i] > score[last] + tie) {
      out.push_back(i);
    } else if (score[i] == score[last] || std::abs(score[i] - score[last]) <= tie) {
      equal.push_back(i);
    }
  }
  equal.resize(static_cast<std::size_t>(k) - out.size());
  const auto middle = out.insert(out.end(), equal.begin(), equal.end());
  std::inplace_merge(out.begin(), middle, out.end());
  return out;
}

// -log of exponential draws: Gumbel(0, 1), one per element, as a function of the key alone.
at::Tensor exponential_draws(at::IntArrayRef shape, std::uint64_t key, at::ScalarType type) {
  const at::Tensor out = at::empty(shape, at::kDouble);
  double* p = out.mutable_data_ptr<double>();
  base::Random random(key);
  for (std::int64_t i = 0; i < out.numel(); ++i) p[i] = -std::log(1 - random.uniform());
  return out.clamp_min(1e-30).to(type);
}

}  // namespace

std::int64_t kept_tokens(std::int64_t billionths, std::int64_t n) {
  if (n <= 0) return 0;
  const std::int64_t whole = n / kWhole, rest = n % kWhole;  // no overflow for any n
  return std::max<std::int64_t>(1, whole * billionths + (rest * billionths + kWhole - 1) / kWhole);
}

nn::KeptRows keep_largest(const at::Tensor& score, const at::Tensor& graph_start,
                          const TokenShare& share) {
  const at::Tensor scores = score.detach().to(at::kDouble).contiguous().cpu();
  const at::Tensor starts = graph_start.contiguous();
  const at::Tensor wholes = share.whole_start.defined() ? share.whole_start.contiguous() : starts;
  const bool sized = share.size.defined();
  const at::Tensor sizes =
      sized ? share.size.detach().to(at::kDouble).contiguous().cpu() : at::Tensor();
  const auto* size = sized ? sizes.const_data_ptr<double>() : nullptr;
  const auto* s = scores.const_data_ptr<double>();
  const auto* start = starts.const_data_ptr<std::int64_t>();
  const auto* whole = wholes.const_data_ptr<std::int64_t>();
  const std::int64_t graphs = starts.size(0) - 1;
  std::vector<std::int64_t> kept;
  const at::Tensor kept_start = at::zeros({graphs + 1}, at::kLong);
  auto* ks = kept_start.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t begin = std::min(start[g] + share.first, start[g + 1]);
    const std::int64_t wanted =
        kept_tokens(share.billionths, whole[g + 1] - whole[g] - share.first);
    for (std::int64_t i = start[g]; i < begin; ++i) kept.push_back(i);
    const double most =
        sized && begin < start[g + 1] ? *std::max_element(size + begin, size + start[g + 1]) : 0;
    const double tie = std::isfinite(most) ? kRounding * most : 0;
    for (const std::int64_t i : largest_of(s + begin, start[g + 1] - begin, wanted, tie)) {
      kept.push_back(begin + i);
    }
    ks[g + 1] = static_cast<std::int64_t>(kept.size());
  }
  return {.rows = ops::row_index(at::tensor(kept, at::kLong), scores.size(0)),
          .graph_start = kept_start};
}

TokenSelection::TokenSelection(std::int64_t first) : first_(first) {
  billionths = buffer("billionths", at::scalar_tensor(kWhole, at::kLong));
}

void TokenSelection::set_keep(double share) {
  share = std::pow(share, exponent_);
  exact_ = share;
  billionths.fill_(static_cast<std::int64_t>(std::llround(share * static_cast<double>(kWhole))));
}

double TokenSelection::keep() const {
  return static_cast<double>(billionths.item<std::int64_t>()) / static_cast<double>(kWhole);
}

TokenShare TokenSelection::share(const nn::Candidates& rows) const {
  return {billionths.item<std::int64_t>(), first_, rows.whole_start};
}

std::optional<nn::KeptRows> TokenSelection::choose(const nn::Candidates& rows,
                                                   nn::Context& context) {
  if (rows.input.x.is_meta()) return std::nullopt;  // scores have no numbers there
  if (billionths.item<std::int64_t>() >= kWhole) return std::nullopt;
  return chosen(rows, context);
}

std::string TokenSelection::script() const {
  return method_script() +
         "def forward(self, x: Tensor, rows: Tensor, whole: int, weight: Tensor) -> Tensor:\n" +
         fmt::format(
             "    first = torch.arange({0}, device=rows.device).expand(rows.size(0), {0})\n"
             "    n = rows.size(1) - {0}\n"
             "    if n <= 0:\n"
             "        return first[:, :rows.size(1)]\n"
             "    k = (int(self.billionths) * (whole - {0}) + 999999999) // 1000000000\n"
             "    k = min(n, max(1, k))\n",
             first_) +
         score_script() +
         fmt::format(
             "    score = score[:, {0}:]\n"
             "    last = torch.sort(score, 1, True)[0][:, k - 1:k]\n"
             "    tie = (torch.amax(score, [1], True) - torch.amin(score, [1], True)) * {1}\n"
             "    tie = torch.maximum(tie, torch.amax(size[:, {0}:], [1], True) * {2})\n"
             "    rank = (score >= last - tie).to(4) + (score > last + tie).to(4)\n"
             "    order = torch.sort(rank, stable=True, dim=1, descending=True)[1][:, :k]\n"
             "    return torch.cat([first, torch.sort(order, 1)[0] + {0}], 1)\n",
             first_, kTie, kRounding);
}

LearnedSelection::LearnedSelection(std::int64_t width, std::int64_t first, double temperature,
                                   bool reference)
    : TokenSelection(first), temperature_(temperature), reference_(reference) {
  weight = parameter("weight", {1, width});
  bias = parameter("bias", {1});
}

void LearnedSelection::initialise(base::Random& random) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.size(1)));
  nn::draw_uniform(weight, bound, random);
  nn::draw_uniform(bias, bound, random);
}

std::string LearnedSelection::score_script() const {
  if (reference_) {
    return "    assert False, \"tokens: the authors' form has no exported form\"\n"
           "    score = x[:0].to(7)\n"
           "    size = score\n";
  }
  return "    part = x.index_select(0, rows.reshape(-1))\n"
         "    score = torch.linear(part, self.weight).reshape(rows.size(0), -1).to(7)\n"
         "    size = torch.linear(torch.abs(part), torch.abs(self.weight))\n"
         "    size = size.reshape(rows.size(0), -1).to(7)\n";
}

nn::KeptRows LearnedSelection::chosen(const nn::Candidates& rows, nn::Context& context) {
  const nn::GlobalInput& input = rows.input;
  if (reference_) return as_reference(input, context);
  at::Tensor score = ops::linear(input.x, weight, {});  // [N, 1]
  TokenShare wanted = share(rows);
  if (!context.training) {
    const at::NoGradGuard guard;
    wanted.size = ops::linear(input.x.abs(), weight.abs(), {}).view(-1);
    return keep_largest(score.view(-1), input.graph_start, wanted);
  }
  const at::Tensor draws =
      exponential_draws(score.sizes(), base::mix(context.key ^ stream_), score.scalar_type());
  score = (score - draws.log()) / temperature_;
  nn::KeptRows kept = keep_largest(score.view(-1), input.graph_start, wanted);
  const at::Tensor y = ops::gather(soft(score, input.graph_start), kept.rows);
  kept.scale = 1 + (y - y.detach());
  return kept;
}

// Softmax over the nodes of each graph; 0 for the rows in front of them, which do not compete.
at::Tensor LearnedSelection::soft(const at::Tensor& score, const at::Tensor& graph_start) const {
  if (first_ == 0) return ops::segment_softmax(score, graph_start);
  const at::Tensor starts = graph_start.contiguous(), inner = at::zeros_like(starts);
  const auto* start = starts.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> nodes;
  for (std::int64_t g = 0; g + 1 < starts.size(0); ++g) {
    for (std::int64_t i = start[g] + first_; i < start[g + 1]; ++i) nodes.push_back(i);
    inner.mutable_data_ptr<std::int64_t>()[g + 1] = static_cast<std::int64_t>(nodes.size());
  }
  const ops::RowIndex index = ops::row_index(at::tensor(nodes, at::kLong), score.size(0));
  return ops::scatter_add(ops::segment_softmax(ops::gather(score, index), inner), index);
}

// Rows as in a batch padded to L: row i of graph g is place g L + i.
nn::KeptRows LearnedSelection::as_reference(const nn::GlobalInput& input, nn::Context& context) {
  const at::Tensor sizes = input.graph_start.diff();
  const std::int64_t graphs = sizes.size(0), length = sizes.max().item<std::int64_t>();
  const at::Tensor graph = at::repeat_interleave(sizes);  // [N]
  const at::Tensor offset = graph * length - input.graph_start.slice(0, 0, graphs).index({graph});
  const ops::RowIndex place =
      ops::row_index(at::arange(input.x.size(0), at::kLong) + offset, graphs * length);
  const at::Tensor padded = ops::scatter_add(input.x, place);  // [G L, D]
  const at::Tensor score = ops::linear(padded, weight, bias).view({graphs, length});
  const at::Tensor draws =
      exponential.defined()
          ? exponential.to(score.scalar_type())
          : exponential_draws(score.sizes(), base::mix(context.key ^ stream_), score.scalar_type());
  const at::Tensor soft = ((at::log_softmax(score, 1) - draws.log()) / temperature_).softmax(1);
  const std::int64_t k =
      static_cast<std::int64_t>(static_cast<double>(length) * exact());  // rounded down
  const at::Tensor top = std::get<1>(soft.topk(k, 1));
  const at::Tensor hard = at::zeros_like(soft).scatter(1, top, 1.0);
  at::Tensor chosen = hard - soft.detach() + soft;
  mask = chosen.detach();
  chosen = at::cat({chosen.slice(1, 0, length - 1), at::ones_like(chosen.slice(1, 0, 1))}, 1);
  return {.scale = ops::gather(chosen.reshape({-1, 1}), place)};
}

AttentionSelection::AttentionSelection(const nn::Attention& attention, std::int64_t first,
                                       const Options& options)
    : TokenSelection(first), attention_(attention), options_(options) {}

nn::KeptRows AttentionSelection::chosen(const nn::Candidates& rows, nn::Context&) {
  const nn::GlobalInput& input = rows.input;
  const AttentionGraph graph = attention_graph(attention_, input);
  TokenShare wanted = share(rows);
  wanted.size = page_rank(graph, options_.iterations);  // sums of what is not below 0
  nn::KeptRows kept = keep_largest(wanted.size, input.graph_start, wanted);
  if (options_.propagate > 0) {
    const at::Tensor& state = rows.state.defined() ? rows.state : input.x;
    kept.added = left_behind(graph, state, kept) * options_.propagate;
  }
  return kept;
}

std::string AttentionSelection::score_script() const {
  return fmt::format(
      "    attended = self.mean(weight)\n"
      "    score = torch.full([rows.size(0), 1, rows.size(1)], 1.0 / rows.size(1), dtype=7, "
      "device=x.device)\n"
      "    for i in range({}):\n"
      "        score = torch.matmul(score, attended)\n"
      "    score = score.reshape(rows.size(0), -1)\n"
      "    size = score\n",
      options_.iterations);
}

std::string AttentionSelection::method_script() const {
  // Of the heads those that live, which does not change any more.
  std::string text = fmt::format(
      "def mean(self, weight: Tensor) -> Tensor:\n"
      "    heads = torch.tensor([{}], dtype=4, device=weight.device)\n"
      "    return torch.mean(weight.index_select(1, heads), 1)\n",
      fmt::join(living_heads(attention_), ", "));
  if (options_.propagate == 0) return text;
  return text +
         fmt::format(
             "def added(self, x: Tensor, rows: Tensor, place: Tensor, weight: Tensor) -> Tensor:\n"
             "    n = rows.size(1)\n"
             "    left = torch.ones([rows.size(0), n], dtype=7, device=x.device)\n"
             "    left = left.scatter(1, place, 0.0)\n"
             "    sent = self.mean(weight) * left.unsqueeze(1)\n"
             "    sent = sent.gather(1, place.unsqueeze(2).expand(-1, -1, n))\n"
             "    state = x.index_select(0, rows.reshape(-1)).reshape(rows.size(0), n, -1)\n"
             "    more = torch.matmul(sent, state.to(7)) * {:.17g}\n"
             "    return more.reshape(-1, x.size(1)).to(x.dtype)\n",
             options_.propagate);
}

}  // namespace gtrain::sparsify
