// SAN, the spectral attention network of Kreuzer et al. 2021 ("Rethinking Graph Transformers with
// Spectral Attention"), as GraphGPS builds it: attention of each node over all other nodes of its
// graph, in which pairs with an edge and pairs without one have projections of their own. Its
// learned positions are an encoder like any other (`kind: transformer` on Laplacian eigenpairs).
// Per head, with d = D/H, edges (j -> i), and for the pairs j, i without an edge one learned vector
// f in the place of their edge vectors:
//   s_ij = exp(clamp(sum_c (Q x_i ⊙ K x_j ⊙ E e_ij)_c / sqrt(d), -5, 5))         edges
//   t_ij = exp(clamp(sum_c (Q' x_i ⊙ K' x_j ⊙ E' f)_c / sqrt(d), -5, 5))         other pairs
//   x̂_i  = (sum_j s_ij V x_j + γ sum_j t_ij V x_j) / (sum_j s_ij + γ sum_j t_ij + 1e-6 (1 + γ))
//   X'   = FeedBlock(X, x̂)                                                    (nn/feed_block.h)
// f is shared by all layers, edge vectors are not updated. A node is no pair with itself, unless it
// has a self loop, which is an edge; repeated edges count as often as they are there.
//
// With γ = 0 only edges count, and Q', K', E' and f do not exist: the authors' sparse form.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/leaving.h"
#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/ops/attention_pattern.h"

namespace gtrain::models {

struct SanOptions {
  static constexpr std::string_view kName = "san";
  static constexpr std::string_view kDoc =
      "SAN (Kreuzer et al. 2021): attention over all pairs, edges apart from the others";
  std::int64_t width = 64;
  std::int64_t layers = 10;
  std::int64_t heads = 8;
  double gamma = 1e-5;
  std::string norm = "batch";
  bool residual = true;
  bool bias = false;
  double dropout = 0.0;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  void fields(base::FieldVisitor& f);
};

// The pairs of a batch. Built once for all layers.
struct SanPairs {
  ops::AttentionPattern edges;   // pair p is edge p
  ops::AttentionPattern others;  // different nodes of a graph without an edge; unset where γ = 0
};
SanPairs san_pairs(const at::Tensor& graph_start, const ops::EdgeIndex& edges, bool others);

// One layer on packed rows. Memory beyond its inputs': rows [N, 2D] and [E, D], nothing of D
// channels for a pair without an edge.
class SanLayer final : public nn::Layer, public nn::Gated {
 public:
  explicit SanLayer(const SanOptions& options);
  ~SanLayer() override;
  // Before a forward: leaves the rows that go on (nn/leaving.h) and their pairs.
  void narrow(nn::PairRows& rows, nn::Leaving& leaving, nn::Context& context) const;
  // x [N, D], e [E, D], other [1, D] (f; undefined where γ = 0) -> [N, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& e, const at::Tensor& other,
                     const SanPairs& pairs, nn::Context& context);
  // Gates act on what the heads attend to, before the output projection.
  nn::Gated::Parts parts() const override;
  std::vector<HeadSlices> head_slices() const override;
  // forward(x, e, other, source, target, groups, free) -> x'; groups and free as SAN's module has
  // them: graphs of equal size, and which of their pairs are neither edge nor self.
  std::string script() const override;
  std::string fused_script() const override;

 protected:
  void heads_kept(const std::vector<std::int64_t>& heads) override;

 private:
  struct Parts;
  at::Tensor attend(const at::Tensor& x, const at::Tensor& e, const at::Tensor& other,
                    const SanPairs& pairs) const;
  std::unique_ptr<Parts> parts_;
};

std::shared_ptr<Model> build_model(const SanOptions& options, const Signature& signature);

}  // namespace gtrain::models
