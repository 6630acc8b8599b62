// What Graphormer (Ying et al. 2021, "Do Transformers Really Perform Badly for Graph
// Representation?") adds to the scores of every layer, made once per batch:
//   b_ij = distance[hops_ij] + (1/l_ij) sum_{k < l_ij} mean_c edge[e_k(c)] · W_k
// e_k the k-th edge of the shortest path from i to j, c its columns, l_ij = min(hops_ij, hops), W_k
// an H x H matrix of its own per hop. single_hop: mean_c edge[e_ij(c)] of the edge i -> j alone. A
// graph token has its own learned number per head to and from every node, itself included. Pairs
// `cut` hops apart or more do not attend.
// The distance part is a byte per pair and a small table; the path part [P, H] is summed from the
// rows of a table [hops x edge kinds, H], see nn/pair_path.h.
// Parameters distance [rows, H], token [1, H], edge [rows, H], hop [matrices, H, H], N(0, 0.02²).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/pair_path.h"
#include "gtrain/ops/varlen_attention.h"

namespace gtrain::nn {

// Rows of the tables; 0: as many as the data and the other options need.
struct BiasTables {
  std::int64_t distances = 0;
  std::int64_t edges = 0;
  std::int64_t edge_stride = 0;  // rows from one column's values to the next one's
  std::int64_t matrices = 0;
  void fields(base::FieldVisitor& f);
};

struct GraphBiasOptions {
  std::int64_t degrees = 64;
  std::int64_t max_distance = 20;
  std::int64_t cut = 0;
  std::string path = "multi_hop";
  std::int64_t hops = 5;
  bool token = true;
  BiasTables tables;
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
  bool quirk(std::string_view name) const;
};

struct PairBias {
  ops::AttentionBias bias;
  at::Tensor graph_start;  // int64 [G+1]: one more row a graph where there is a token
};

class GraphBias final : public Layer {
 public:
  // `categories`: of the edges' integer columns; empty only where path is none.
  GraphBias(std::int64_t heads, const GraphBiasOptions& options,
            std::vector<std::int64_t> categories);
  PairBias forward(const PairInput& input);
  // forward(self, hops, inner, edge_index, edge_attr, batch) -> Tensor: the whole bias [P, H], the
  // token's pairs included, and blocks(self, bias, batch, groups: List[Tensor]) -> List[Tensor]:
  // [g, H, n, n] for each group of rows [g, n] of nn/attention.h, batch with the tokens.
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor distance, token, edge, hop;

 private:
  std::string path_script(bool fused) const;     // statements that add the edges of paths
  std::string forward_script(bool fused) const;  // the method of script() or fused_script()
  std::int64_t distance_row(std::int64_t hops) const;
  at::Tensor buckets(const PairInput& input, const at::Tensor& start, ops::AttentionBias& bias);
  std::pair<at::Tensor, at::Tensor> edge_kinds(const at::Tensor& columns) const;
  at::Tensor hop_rows(const at::Tensor& kinds, std::int64_t blocks, std::int64_t padded) const;
  at::Tensor pairs(const PairInput& input);

  GraphBiasOptions options_;
  std::vector<std::int64_t> categories_, offset_;
};

}  // namespace gtrain::nn
