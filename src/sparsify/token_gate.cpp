#include "gtrain/sparsify/token_gate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "gtrain/ops/linear.h"
#include "gtrain/ops/segment.h"
#include "gtrain/sparsify/attention_score.h"

namespace gtrain::sparsify {
namespace {

constexpr std::int64_t kWhole = 1'000'000'000;
constexpr double kTie = 1e-4;

// Scores in units of what counts as a tie; as they are where no unit can be had.
void round_scores(double* begin, double* end) {
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (const double* s = begin; s != end; ++s) {
    if (std::isnan(*s)) continue;
    least = std::min(least, *s);
    most = std::max(most, *s);
  }
  const double range = most - least;
  if (!(range > 0) || !std::isfinite(range)) return;
  for (double* s = begin; s != end; ++s) *s = std::nearbyint((*s - least) / (kTie * range));
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
                          std::int64_t billionths, std::int64_t first) {
  const at::Tensor scores = score.detach().to(at::kDouble).contiguous().cpu().clone();
  const at::Tensor starts = graph_start.contiguous();
  auto* s = scores.mutable_data_ptr<double>();
  const auto* start = starts.const_data_ptr<std::int64_t>();
  const std::int64_t graphs = starts.size(0) - 1;
  std::vector<std::int64_t> kept, order;
  const at::Tensor kept_start = at::zeros({graphs + 1}, at::kLong);
  auto* ks = kept_start.mutable_data_ptr<std::int64_t>();
  const auto before = [&](std::int64_t a, std::int64_t b) {
    const bool na = std::isnan(s[a]), nb = std::isnan(s[b]);
    if (na != nb) return nb;
    if (!na && s[a] != s[b]) return s[a] > s[b];
    return a < b;
  };
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t begin = std::min(start[g] + first, start[g + 1]);
    round_scores(s + begin, s + start[g + 1]);
    for (std::int64_t i = start[g]; i < begin; ++i) kept.push_back(i);
    order.resize(static_cast<std::size_t>(start[g + 1] - begin));
    std::iota(order.begin(), order.end(), begin);
    const std::int64_t k = kept_tokens(billionths, static_cast<std::int64_t>(order.size()));
    if (k < static_cast<std::int64_t>(order.size())) {
      std::nth_element(order.begin(), order.begin() + k, order.end(), before);
      order.resize(static_cast<std::size_t>(k));
      std::sort(order.begin(), order.end());
    }
    kept.insert(kept.end(), order.begin(), order.end());
    ks[g + 1] = static_cast<std::int64_t>(kept.size());
  }
  return {.rows = ops::row_index(at::tensor(kept, at::kLong), scores.size(0)),
          .graph_start = kept_start};
}

TokenSelection::TokenSelection(std::int64_t first) : first_(first) {
  billionths = buffer("billionths", at::scalar_tensor(kWhole, at::kLong));
}

void TokenSelection::set_keep(double share) {
  exact_ = share;
  billionths.fill_(static_cast<std::int64_t>(std::llround(share * static_cast<double>(kWhole))));
}

double TokenSelection::keep() const {
  return static_cast<double>(billionths.item<std::int64_t>()) / static_cast<double>(kWhole);
}

std::optional<nn::KeptRows> TokenSelection::choose(const nn::GlobalInput& input,
                                                   nn::Context& context) {
  if (input.x.is_meta()) return std::nullopt;  // scores have no numbers there
  if (billionths.item<std::int64_t>() >= kWhole) return std::nullopt;
  return chosen(input, context);
}

std::string TokenSelection::script() const {
  return "def forward(self, x: Tensor, rows: Tensor) -> Tensor:\n"
         "    assert False, \"tokens: this scorer has no exported form\"\n"
         "    return rows\n";
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

std::string LearnedSelection::script() const {
  if (reference_) return TokenSelection::script();
  return fmt::format(
      "def forward(self, x: Tensor, rows: Tensor) -> Tensor:\n"
      "    first = torch.arange({0}, device=rows.device).expand(rows.size(0), {0})\n"
      "    n = rows.size(1) - {0}\n"
      "    if n <= 0:\n"
      "        return first[:, :rows.size(1)]\n"
      "    k = max(1, (int(self.billionths) * n + 999999999) // 1000000000)\n"
      "    score = torch.linear(x.index_select(0, rows.reshape(-1)), self.weight, self.bias)\n"
      "    score = score.reshape(rows.size(0), -1)[:, {0}:].to(7)\n"
      "    score = score - torch.amin(score, [1], True)\n"
      "    unit = torch.amax(score, [1], True) * {1}\n"
      "    score = torch.where(unit > 0, torch.round(score / unit), score)\n"
      "    order = torch.sort(score, stable=True, dim=1, descending=True)[1][:, :k] + {0}\n"
      "    return torch.cat([first, torch.sort(order, 1)[0]], 1)\n",
      first_, kTie);
}

nn::KeptRows LearnedSelection::chosen(const nn::GlobalInput& input, nn::Context& context) {
  if (reference_) return as_reference(input, context);
  const std::int64_t k = billionths.item<std::int64_t>();
  at::Tensor score = ops::linear(input.x, weight, bias);  // [N, 1]
  if (!context.training) return keep_largest(score.view(-1), input.graph_start, k, first_);
  const at::Tensor draws =
      exponential_draws(score.sizes(), base::mix(context.key ^ stream_), score.scalar_type());
  score = (score - draws.log()) / temperature_;
  nn::KeptRows kept = keep_largest(score.view(-1), input.graph_start, k, first_);
  const at::Tensor y = ops::gather(ops::segment_softmax(score, input.graph_start), kept.rows);
  kept.scale = 1 + (y - y.detach());
  return kept;
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

nn::KeptRows AttentionSelection::chosen(const nn::GlobalInput& input, nn::Context&) {
  const std::int64_t k = billionths.item<std::int64_t>();
  const AttentionGraph graph = attention_graph(attention_, input);
  nn::KeptRows kept =
      keep_largest(page_rank(graph, options_.iterations), input.graph_start, k, first_);
  if (options_.propagate > 0) kept.added = left_behind(graph, input.x, kept) * options_.propagate;
  return kept;
}

}  // namespace gtrain::sparsify
