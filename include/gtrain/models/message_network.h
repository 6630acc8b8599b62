// What a message-passing network does up to its node vectors: features, layers of
// nn/message_block.h, and what a virtual node beside the graph says between them. Mpnn puts a head
// on it, GraphTrans a transformer. It is no model of its own: it has no output.
//
//   x_0 = features      x_{l+1} = layer_l(x_l + what the virtual node says)      l = 0..L-1
//   node vectors: x_L (jump last), the sum of all x_l (sum), or x_0 and x_L side by side (concat)
//
// Parameters: features.*, edges_<l>.* (edge_vectors own), layer_<l>.*, virtual_<l>.*, virtual_node.
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
#include "gtrain/models/feature_encoder.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/attention_node.h"
#include "gtrain/nn/message_block.h"
#include "gtrain/nn/virtual_node.h"

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

struct MessageNetworkOptions {
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
  void fields(base::FieldVisitor& f);
};

// What a network reads of the data.
struct NetworkInput {
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
};

// States to `f` which options of a network fit each other and its input. `path` leads from the
// struct being visited to the network's keys: "" or "gnn.".
void require_fit(base::FieldVisitor& f, const MessageNetworkOptions& options,
                 const NetworkInput& input, const std::string& path);

class MessageNetwork : public Model {
 public:
  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }
  void initialise(base::Random& random) override;

 protected:
  MessageNetwork(const MessageNetworkOptions& options, const NetworkInput& input,
                 const Signature& signature);

  at::Tensor node_vectors(const data::GraphBatch& batch, nn::Context& context);  // [N, node_width]
  std::int64_t node_width() const;
  // Lines of TorchScript from the arguments of encoded_forward to node vectors h.
  std::string node_vectors_script() const;

 private:
  // What stands at a layer of the virtual node's form; at most one is there.
  struct VirtualPart {
    std::shared_ptr<nn::ClassicNode> classic = nullptr;
    std::shared_ptr<nn::HeterogeneousNode> heterogeneous = nullptr;
    std::shared_ptr<nn::AttentionNode> attention = nullptr;
    std::shared_ptr<nn::Layer> layer() const;
  };
  static VirtualPart make_virtual(const MessageNetworkOptions& options, bool last);

  void add_layer(std::int64_t l, const NetworkInput& input, const Signature& signature);
  bool is_classic() const;
  bool has_state() const;
  bool pools_output() const;
  std::string layer_script(std::size_t l) const;

  MessageNetworkOptions options_;
  std::shared_ptr<FeatureEncoder> features_;
  std::vector<std::shared_ptr<FeatureEncoder>> edges_;
  std::vector<std::shared_ptr<nn::MessageBlock>> layers_;
  std::vector<VirtualPart> virtual_;
  at::Tensor state_;  // "virtual_node" [1, D]
};

}  // namespace gtrain::models
