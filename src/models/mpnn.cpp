#include "gtrain/models/mpnn.h"

namespace gtrain::models {

void MpnnOptions::fields(base::FieldVisitor& f) {
  MessageNetworkOptions::fields(f);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  require_fit(f, *this, {node, edge, encoders}, "");
  f.require(!pools_graph_token(head), "head.pool", "graph_token: the model has none");
}

namespace {

class Mpnn final : public MessageNetwork {
 public:
  Mpnn(const MpnnOptions& o, const Signature& signature)
      : MessageNetwork(o, {o.node, o.edge, o.encoders}, signature) {
    head_ = register_module("head", make_head(o.head, node_width(), o.activation, signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    return head_->forward(node_vectors(batch, context), {batch.graph_start, batch.pair, &context});
  }

  std::string script() const override {
    return "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
           "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n" +
           node_vectors_script() + "    return self.head.forward(h, batch)\n";
  }

 private:
  std::shared_ptr<nn::Head> head_;
};

}  // namespace

std::shared_ptr<Model> build_model(const MpnnOptions& options, const Signature& signature) {
  return std::make_shared<Mpnn>(options, signature);
}

}  // namespace gtrain::models
