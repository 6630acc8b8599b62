// Which nodes take part in an attention: the max(1, ceil(keep n)) of each graph's n nodes with the
// largest scores. The others leave before q, k and v are computed and get no update.
//
//   learned (Liu et al. 2024): s = w · x + b. In training s + Gumbel noise decides, and the rows
//     that stay are multiplied by 1 + y - sg(y), y = softmax over the graph of (s + noise) / T: one
//     to the bit, with the gradient of y (straight-through).
//   attention, pagerank (sparsify/attention_score.h): no parameters, no noise.
//
// A graph token in front of a graph stays, and counts neither in n nor in what is kept.
#pragma once

#include <memory>
#include <string>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::sparsify {

// max(1, ceil(keep n)) for n > 0, keep in billionths: exact, where keep · n may round up.
std::int64_t kept_tokens(std::int64_t billionths, std::int64_t n);

// The rows of each graph with the largest scores [N], lower rows first among equals, NaN last.
// Equal are scores that round to the same multiple of 1e-4 of the graph's range: symmetric nodes
// differ by rounding alone, and would trade places from batch to batch. `first`: rows in front of
// each graph that stay, besides those.
nn::KeptRows keep_largest(const at::Tensor& score, const at::Tensor& graph_start,
                          std::int64_t billionths, std::int64_t first);

class TokenSelection : public nn::Layer, public nn::TokenGate {
 public:
  explicit TokenSelection(std::int64_t first);
  std::optional<nn::KeptRows> choose(const nn::GlobalInput& input, nn::Context& context) final;
  // forward(x, rows): of graphs of equal size, rows [g, n], the columns that take part, ascending
  // [g, k]. Scores that need an attention of their own have no such form.
  std::string script() const override;

  void set_keep(double share);
  double keep() const;
  // Named in the stream of the noise, so that layers draw apart.
  void set_stream(std::uint64_t stream) { stream_ = stream; }

  at::Tensor billionths;  // buffer int64 []: keep now

 protected:
  // Below keep 1.
  virtual nn::KeptRows chosen(const nn::GlobalInput& input, nn::Context& context) = 0;
  // keep as it was set, where it was; the authors' product with it rounds down.
  double exact() const { return exact_ > 0 ? exact_ : keep(); }
  std::int64_t first_;
  std::uint64_t stream_ = 0;

 private:
  double exact_ = 0;
};

// weight [1, D], bias [1]: U(±1/sqrt(D)).
class LearnedSelection final : public TokenSelection {
 public:
  LearnedSelection(std::int64_t width, std::int64_t first, double temperature, bool reference);
  void initialise(base::Random& random) override;
  std::string script() const override;

  at::Tensor weight, bias;
  // For parity tests of the authors' form: exponential draws [G, L] in the place of fresh ones, and
  // the mask [G, L] it made last.
  at::Tensor exponential, mask;

 private:
  nn::KeptRows chosen(const nn::GlobalInput& input, nn::Context& context) override;
  nn::KeptRows as_reference(const nn::GlobalInput& input, nn::Context& context);
  double temperature_;
  bool reference_;
};

// Scores by the attention that the layer itself would compute on all rows.
class AttentionSelection final : public TokenSelection {
 public:
  struct Options {
    std::int64_t iterations = 1;  // 1: attention received; more: weighted PageRank
    double propagate = 0;
  };
  // `attention` holds the gate and so outlives it.
  AttentionSelection(const nn::Attention& attention, std::int64_t first, const Options& options);

 private:
  nn::KeptRows chosen(const nn::GlobalInput& input, nn::Context& context) override;
  const nn::Attention& attention_;
  Options options_;
};

}  // namespace gtrain::sparsify
