// GraphTrans (Wu et al. 2021, "Representing Long-Range Context for Graph Neural Networks with
// Global Attention"): a message-passing network learns what is near, then a transformer without any
// positional encoding lets all nodes of a graph, and a learned token that the head reads, attend to
// each other.
//   h = gnn(x, e)      [N, W]           u = [token | P h]    u = LN(u) (input_norm)
//   u = layer_l(u), l = 1..L            LN(u) (final_norm)   head(u)
// layer_l is nn/graphormer_layer.h without bias, dropout the same everywhere in it as torch's
// TransformerEncoderLayer has it. The network is models/message_network.h, its parameters named as
// there; the rest: project, token, norm_in, block_<l>, norm_out, head.
// Cost: that of the network, and of attention over n + 1 rows a graph.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/models/message_network.h"

namespace gtrain::models {

struct GraphTransOptions {
  static constexpr std::string_view kName = "graphtrans";
  static constexpr std::string_view kDoc =
      "GraphTrans (Wu et al. 2021): message passing, then a transformer over all nodes";
  // The network of the authors' defaults: OGB's example without its head.
  struct Network : MessageNetworkOptions {
    Network();
  };
  std::int64_t width = 128;
  std::int64_t layers = 4;
  std::int64_t heads = 4;
  std::int64_t hidden = 512;
  std::string norm = "after";
  bool input_norm = true;
  bool final_norm = true;
  std::string activation = "relu";
  double dropout = 0.3;
  bool token = true;
  std::int64_t max_nodes = 0;
  Network gnn;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head = HalvingHeadOptions{0, "graph_token"};
  std::int64_t node_width() const { return gnn.width; }  // `width` is the transformer's
  void fields(base::FieldVisitor& f);
};

std::shared_ptr<Model> build_model(const GraphTransOptions& options, const Signature& signature);

}  // namespace gtrain::models
