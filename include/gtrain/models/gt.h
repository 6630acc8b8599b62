// GT, the graph transformer of Dwivedi & Bresson 2021 ("A Generalization of Transformer Networks to
// Graphs"): attention of each node over its in-neighbours, or over all other nodes of its graph,
// with edge vectors multiplied in and updated beside the node vectors. Per head, for the pairs
// (i, j) of the pattern, with q, k, v = Q x, K x, V x and d = D/H:
//   w_ij  = k_j ⊙ q_i / sqrt(d) ⊙ E e_ij           s_ij = exp(clamp(sum_c w_ijc, -5, 5))
//   x̂_i   = sum_j s_ij v_j / (sum_j s_ij + 1e-6)   ê_ij = w_ij
//   X'    = Block(X, x̂)                            E'   = Block_e(E, ê)
//   Block(a, â): b = Norm(a + O Drop(â)),  Norm(b + W_2 Drop(relu(W_1 b)))
// Without edge vectors (edge: none) E e_ij is 1, nothing is added to the sum of s, and there is no
// second stream. A node without pairs receives x̂ = 0 in both forms; where no number is added, the
// authors' code divides 0 by 0 there. Nothing is dropped on attention weights or after W_2.
//
// With pattern full every ordered pair of different nodes of a graph counts, whatever its edges
// are: all pairs have edge type 0 (or zero columns), as in the authors' code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/leaving.h"
#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/ops/attention_pattern.h"

namespace gtrain::models {

struct GtOptions {
  static constexpr std::string_view kName = "gt";
  static constexpr std::string_view kDoc =
      "GT (Dwivedi & Bresson 2021): attention over neighbours, with edge vectors";
  std::int64_t width = 64;
  std::int64_t layers = 10;
  std::int64_t heads = 8;
  std::string pattern = "neighbours";
  std::string norm = "batch";
  bool residual = true;
  bool bias = false;
  double input_dropout = 0.0;
  double dropout = 0.0;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  void fields(base::FieldVisitor& f);
};

// One layer on packed rows: x [N, D], e [P, D] in the pattern's pair order (undefined where the
// options say edge: none).
class GtLayer final : public nn::Layer, public nn::Gated {
 public:
  explicit GtLayer(const GtOptions& options);
  ~GtLayer() override;
  // Before a forward: leaves the rows that go on (nn/leaving.h) and their pairs.
  void narrow(nn::PairRows& rows, nn::Leaving& leaving, nn::Context& context) const;
  // (X', E'). E' is undefined without edge vectors, and with `edge_output` off: nothing reads that
  // of the last layer, whose statistics training moves all the same.
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& e,
                                            const ops::AttentionPattern& pattern,
                                            nn::Context& context, bool edge_output = true);
  // Gates act on what the heads put out, for nodes and for edges, before the output projections.
  nn::Gated::Parts parts() const override;
  std::vector<HeadSlices> head_slices() const override;
  // forward(x, e, source, target, groups) -> (x', e'); e passes through without edge vectors,
  // groups (nn/attention.h) are read where nodes take no part.
  std::string script() const override;
  std::string fused_script() const override;

 protected:
  void heads_kept(const std::vector<std::int64_t>& heads) override;

 private:
  struct Parts;
  // x̂ and ŵ, gated; ŵ is undefined without edge vectors, and where it is not wanted.
  std::pair<at::Tensor, at::Tensor> attend(const at::Tensor& x, const at::Tensor& e,
                                           const ops::AttentionPattern& pattern,
                                           nn::Context& context, bool edge_output) const;
  std::unique_ptr<Parts> parts_;
};

std::shared_ptr<Model> build_model(const GtOptions& options, const Signature& signature);

}  // namespace gtrain::models
