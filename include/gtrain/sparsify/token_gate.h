// Which nodes stay: the max(1, ceil(keep n)) of each graph's n nodes with the largest scores.
//   depth attention   they alone take part in an attention: the others leave before q, k and v are
//                     computed and get no update
//   depth network     they alone go on from this layer to the last (nn/leaving.h); n is that of the
//                     graph before any node left
// Scores:
//   learned (Liu et al. 2024): s = w · x. In training s + Gumbel noise decides, and the rows that
//     stay are multiplied by 1 + y - sg(y), y = softmax over the graph of (s + noise) / T: one to
//     the bit, with the gradient of y (straight-through).
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

// How many rows of each graph stay.
struct TokenShare {
  std::int64_t billionths = 0;
  std::int64_t first = 0;       // rows in front of each graph that stay, besides
  at::Tensor whole_start = {};  // int64 [G+1]: of the graphs that the share is of; undefined: these
  at::Tensor size = {};         // [N]: of the terms that a score is the sum of; undefined: 0
};

// The rows of each graph with the largest scores [N], NaN last. Equal to the last one that stays
// are scores within 1e-4 of the graph's range of it, or within 1e-5 of the graph's largest size, as
// of a ring of equal nodes; of those the lower rows stay. So symmetric nodes, which differ by
// rounding alone, do not trade places from batch to batch, and a constant added to all scores
// changes nothing.
nn::KeptRows keep_largest(const at::Tensor& score, const at::Tensor& graph_start,
                          const TokenShare& share);

class TokenSelection : public nn::Layer, public nn::TokenGate {
 public:
  explicit TokenSelection(std::int64_t first);
  std::optional<nn::KeptRows> choose(const nn::Candidates& rows, nn::Context& context) final;
  std::string script() const final;

  // Of a share that a rule leaves, this place leaves share^exponent.
  void set_exponent(double exponent) { exponent_ = exponent; }
  void set_keep(double share);
  double keep() const;
  // Named in the stream of the noise, so that layers draw apart.
  void set_stream(std::uint64_t stream) { stream_ = stream; }

  at::Tensor billionths;  // buffer int64 []: keep now

 protected:
  // Below keep 1.
  virtual nn::KeptRows chosen(const nn::Candidates& rows, nn::Context& context) = 0;
  // Statements from x, rows and weight to double `score` and its `size` [g, n], and further
  // methods.
  virtual std::string score_script() const = 0;
  virtual std::string method_script() const { return ""; }
  TokenShare share(const nn::Candidates& rows) const;
  // keep as it was set, where it was; the authors' product with it rounds down.
  double exact() const { return exact_ > 0 ? exact_ : keep(); }
  std::int64_t first_;
  std::uint64_t stream_ = 0;

 private:
  double exact_ = 0, exponent_ = 1;
};

// weight [1, D], bias [1]: U(±1/sqrt(D)). The bias is read in the authors' form alone: it moves all
// scores of a graph alike.
class LearnedSelection final : public TokenSelection {
 public:
  LearnedSelection(std::int64_t width, std::int64_t first, double temperature, bool reference);
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
  // For parity tests of the authors' form: exponential draws [G, L] in the place of fresh ones, and
  // the mask [G, L] it made last.
  at::Tensor exponential, mask;

 private:
  nn::KeptRows chosen(const nn::Candidates& rows, nn::Context& context) override;
  nn::KeptRows as_reference(const nn::GlobalInput& input, nn::Context& context);
  std::string score_script() const override;
  at::Tensor soft(const at::Tensor& score, const at::Tensor& graph_start) const;
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
  bool reads_weights() const override { return true; }
  bool adds() const override { return options_.propagate > 0; }

 private:
  nn::KeptRows chosen(const nn::Candidates& rows, nn::Context& context) override;
  std::string score_script() const override;
  std::string method_script() const override;
  const nn::Attention& attention_;
  Options options_;
};

}  // namespace gtrain::sparsify
