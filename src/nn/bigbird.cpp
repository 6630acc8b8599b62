#include "gtrain/nn/bigbird.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/ops/sparse_attention.h"

namespace gtrain::nn {
namespace {

// The generator of ops/attention_pattern.h's random pairs (SplitMix64 of seed and counters) in
// wrapping int64 arithmetic; >> is made logical by clearing the bits that the sign fills in.
constexpr const char* kRandomScript =
    "def shifted(self, x: Tensor, bits: int) -> Tensor:\n"
    "    return torch.bitwise_and(x >> bits, (1 << (64 - bits)) - 1)\n"
    "def row_key(self, key: Tensor, row: Tensor) -> Tensor:\n"
    "    x = key + (row + 1) * -7046029254386353131\n"
    "    x = torch.bitwise_xor(x, self.shifted(x, 30)) * -4658895280553007687\n"
    "    x = torch.bitwise_xor(x, self.shifted(x, 27)) * -7723592293110705685\n"
    "    return torch.bitwise_xor(x, self.shifted(x, 31))\n";

// {0} window, {1} random, {2} global, {3} seed. Random partners by Floyd's sampling, all rows at
// once; type 7 is double.
constexpr const char* kMaskScript =
    "def pairs(self, n: int, x: Tensor) -> Tensor:\n"
    "    node = torch.arange(n, device=x.device)\n"
    "    apart = torch.abs(node.unsqueeze(1) - node.unsqueeze(0))\n"
    "    pairs = (apart <= {0}) | (node < {2}).unsqueeze(0) | (node < {2}).unsqueeze(1)\n"
    "    others = n - 1\n"
    "    wanted = min({1}, others)\n"
    "    zero = torch.zeros_like(node)\n"
    "    key = self.row_key(zero + {3}, self.row_key(zero, node))\n"
    "    chosen = torch.zeros([n, 0], dtype=node.dtype, device=x.device)\n"
    "    for r in range(wanted):\n"
    "        last = others - wanted + r\n"
    "        unit = self.shifted(self.row_key(key, zero + r), 11).to(7)\n"
    "        drawn = torch.floor(unit * 1.1102230246251565e-16 * (last + 1)).to(node.dtype)\n"
    "        taken = torch.any(chosen == drawn.unsqueeze(1), 1)\n"
    "        drawn = torch.where(taken, zero + last, drawn)\n"
    "        chosen = torch.cat([chosen, drawn.unsqueeze(1)], 1)\n"
    "    partner = torch.where(chosen < node.unsqueeze(1), chosen, chosen + 1)\n"
    "    return pairs.scatter_(1, partner, torch.ones_like(partner) > 0)\n";

}  // namespace

void BigBirdOptions::fields(base::FieldVisitor& f) {
  constexpr double kMost = 1 << 20;  // far from where sums of them overflow
  f({.key = "window",
     .doc = "places before and after a node that it attends to",
     .min = 0,
     .max = kMost},
    window);
  f({.key = "random",
     .doc = "random nodes of the graph that a node attends to",
     .min = 0,
     .max = kMost},
    random);
  f({.key = "global",
     .doc = "first nodes of a graph, to and from which all attend",
     .min = 0,
     .max = kMost},
    global);
  f({.key = "seed", .doc = "of the random pairs", .min = 0}, seed);
}

ops::AttentionPattern bigbird_pattern(const at::Tensor& graph_start,
                                      const BigBirdOptions& options) {
  const auto seed = static_cast<std::uint64_t>(options.seed);
  return ops::union_pattern(
      {ops::window_pattern(graph_start, {.width = options.window}),
       ops::global_pattern(graph_start, {.count = options.global}),
       ops::random_pattern(graph_start, {.degree = options.random, .seed = seed})});
}

std::string bigbird_groups_script(Form form, const BigBirdOptions& options) {
  if (form == Form::kPortable) return groups_script(form, "rows");
  return fmt::format("gtrain.bigbird_pattern(rows, {}, {}, {}, {})", options.window, options.random,
                     options.global, options.seed);
}

BigBird::BigBird(std::int64_t width, std::int64_t heads, double dropout,
                 const BigBirdOptions& options)
    : Attention(width, heads, dropout), options_(options) {}

at::Tensor BigBird::mix(const at::Tensor& qkv, const GlobalInput& input, Context& context) const {
  TORCH_CHECK(input.pattern != nullptr, "[bigbird] got no pattern");
  const std::int64_t d = qkv.size(1) / 3;
  const bool dropping = context.training && dropout_ > 0;
  ops::SparseAttentionOptions sparse;
  TORCH_CHECK(!dropping || context.masks == nullptr, "[bigbird] cannot replay recorded masks");
  sparse.heads = heads_;
  sparse.dropout = dropping ? dropout_ : 0.0;
  sparse.key = dropping ? context.next_key() : 0;
  return ops::sparse_attention(qkv.slice(1, 0, d), qkv.slice(1, d, 2 * d),
                               qkv.slice(1, 2 * d, 3 * d), *input.pattern, sparse);
}

Attention::MaskScript BigBird::mask_script() const {
  return {
      "self.pairs(rows.size(1), x)",
      std::string(kRandomScript) + fmt::format(fmt::runtime(kMaskScript), options_.window,
                                               options_.random, options_.global, options_.seed)};
}

std::string BigBird::mix_script() const {
  return fmt::format("gtrain.sparse_attention(qkv, groups, {})", heads_);
}

}  // namespace gtrain::nn
