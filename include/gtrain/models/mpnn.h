// Message-passing networks, plain and with a virtual node: the baselines of graph transformers, and
// the models of Cai et al. 2023 ("On the Connection Between MPNN and Graph Transformer"). A network
// of models/message_network.h and a head; a virtual node is either a row of the graph
// (dataset.transform: virtual_node, to which the network is blind) or a state beside it
// (nn/virtual_node.h, nn/attention_node.h).
//
//   OGB's examples      local ogb_gin | ogb_gcn, norm batch, last_activation false,
//                       edge_vectors own, virtual_node classic, head mlp
//   GraphGym's stacks   local gcn, norm batch, residual false, unit_rows true
//   LRGB's custom_gnn   local gine | gcnii | gated_gcn, norm none
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "gtrain/models/message_network.h"

namespace gtrain::models {

struct MpnnOptions : MessageNetworkOptions {
  static constexpr std::string_view kName = "mpnn";
  static constexpr std::string_view kDoc =
      "message passing, plain or with a virtual node (Gilmer et al. 2017; Cai et al. 2023)";
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  void fields(base::FieldVisitor& f);
};

std::shared_ptr<Model> build_model(const MpnnOptions& options, const Signature& signature);

}  // namespace gtrain::models
