// Message-passing networks, plain and with a virtual node: the baselines of graph transformers, and
// the models of Cai et al. 2023 ("On the Connection Between MPNN and Graph Transformer"). Layers of
// nn/message_block.h; a virtual node is either a row of the graph (dataset.transform: virtual_node,
// to which the network is blind) or a state beside it (nn/virtual_node.h, nn/attention_node.h).
//
//   OGB's examples      local ogb_gin | ogb_gcn, norm batch, last_activation false, edge_vectors
//   own,
//                       virtual_node classic, head mlp
//   GraphGym's stacks   local gcn, norm batch, residual false, unit_rows true
//   LRGB's custom_gnn   local gine | gcnii | gated_gcn, norm none
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"

namespace gtrain::models {

struct NoVirtualNodeOptions {
  static constexpr std::string_view kName = "none";
  static constexpr std::string_view kDoc = "no state beside the graph";
  void fields(base::FieldVisitor&) {}
};
struct ClassicVirtualNodeOptions {
  static constexpr std::string_view kName = "classic";
  static constexpr std::string_view kDoc =
      "added to every node; updated by an MLP of itself and the sum of all nodes";
  std::string pool = "input";
  std::int64_t expansion = 2;
  bool residual = false;
  void fields(base::FieldVisitor& f);
};
struct HeterogeneousVirtualNodeOptions {
  static constexpr std::string_view kName = "heterogeneous";
  static constexpr std::string_view kDoc =
      "weights of its own for node to node, node to virtual node and back (Cai et al. 2023)";
  std::string pool = "mean";
  bool residual = true;
  void fields(base::FieldVisitor& f);
};
struct AttentionVirtualNodeOptions {
  static constexpr std::string_view kName = "attention";
  static constexpr std::string_view kDoc =
      "carries linear attention between all nodes (Cai et al. 2023)";
  std::int64_t heads = 4;
  std::string features = "elu";
  std::int64_t count = 64;
  void fields(base::FieldVisitor& f);
};
using VirtualNodeForm = std::variant<NoVirtualNodeOptions, ClassicVirtualNodeOptions,
                                     HeterogeneousVirtualNodeOptions, AttentionVirtualNodeOptions>;

struct MpnnOptions {
  static constexpr std::string_view kName = "mpnn";
  static constexpr std::string_view kDoc =
      "message passing, plain or with a virtual node (Gilmer et al. 2017; Cai et al. 2023)";
  std::int64_t width = 64;
  std::int64_t layers = 5;
  std::string local = "gine";
  std::optional<std::int64_t> heads;
  std::string norm = "none";
  std::string activation = "relu";
  bool last_activation = true;
  double dropout = 0.0;
  bool residual = true;
  bool unit_rows = false;
  std::string jump = "last";
  std::string edge_vectors = "shared";
  VirtualNodeForm virtual_node;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  void fields(base::FieldVisitor& f);
};

std::shared_ptr<Model> build_model(const MpnnOptions& options, const Signature& signature);

}  // namespace gtrain::models
