// Graphormer's encodings of a batch, for every model that takes them: degrees onto the node
// vectors, a token in front of every graph, and the bias of each pair (nn/graph_bias.h). Reads the
// columns degree, hop_distance and shortest_path as its options need them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/centrality.h"
#include "gtrain/nn/graph_bias.h"
#include "gtrain/nn/graph_token.h"

namespace gtrain::models {

struct EncodingWidths {
  std::int64_t degrees = 0;  // leading channels of a node vector that the degrees are added to
  std::int64_t width = 0;    // D
  std::int64_t heads = 0;    // H
};

class GraphEncoding final : public nn::Layer {
 public:
  // Throws base::RecipeError naming `model.<key>` where a column or edge categories are missing.
  GraphEncoding(const nn::GraphBiasOptions& options, const EncodingWidths& widths,
                const Signature& signature, const std::string& key);

  struct Encoded {
    at::Tensor x;  // [N, D], or [N + G, D] with tokens
    nn::PairBias pairs;
  };
  Encoded forward(const at::Tensor& x, const data::GraphBatch& batch);
  // x [N + G, D] without the rows of tokens, for tasks of nodes and edges.
  at::Tensor without_tokens(const at::Tensor& x, const data::GraphBatch& batch) const;
  // Edges between the N + G rows; `keep`: with the numbers they had among the N, a quirk.
  nn::Edges edges(const data::GraphBatch& batch, bool keep) const;
  bool has_token() const { return token_ != nullptr; }

  const std::vector<std::string>& encoding_inputs() const { return inputs_; }
  // forward(self, x, edge_index, edge_attr, batch: Tensor, encodings: List[Tensor]) ->
  // Tuple[Tensor, Tensor, Tensor]: rows, their graphs, the bias [P, H]. Its columns are those of
  // `encodings` from number `first` on.
  std::string script() const override;
  void set_first_input(std::size_t first) { first_ = first; }

 private:
  EncodingWidths widths_;
  std::shared_ptr<nn::Centrality> centrality_;  // "centrality"
  std::shared_ptr<nn::GraphToken> token_;       // "token"
  std::shared_ptr<nn::GraphBias> bias_;         // "bias"
  std::vector<std::string> inputs_;
  std::size_t first_ = 0;
};

}  // namespace gtrain::models
