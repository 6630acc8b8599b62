#include "gtrain/nn/message_block.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

struct Input {
  support::EdgeBatch batch = support::pack_odd_graphs();
  at::Tensor x = at::randn({batch.nodes, 4}, at::kDouble);
  at::Tensor e = at::randn({batch.edges.count(), 4}, at::kDouble);
  at::Tensor message;
  nn::BlockInput block() const { return {{x, e, batch.edges, {}}, x, message, batch.graph_start}; }
};

std::shared_ptr<nn::MessageBlock> block_of(const std::string& name,
                                           nn::MessageBlock::Options options) {
  options.local.width = 4;
  return support::ready(std::make_shared<nn::MessageBlock>(name, options));
}

at::Tensor run(nn::MessageBlock& block, const Input& in) {
  nn::Context c = support::context(false);
  return block.forward(in.block(), c).first;
}

TEST(MessageBlock, AddsTheInputToTheActivatedUpdate) {
  const Input in;
  nn::MessageBlock::Options o;
  const at::Tensor with = run(*block_of("gine", o), in);
  o.residual = false;
  const at::Tensor update = run(*block_of("gine", o), in);
  EXPECT_GE(update.min().item<double>(), 0);
  EXPECT_LT(support::distance(with, in.x + update), 1e-12);
  o.activated = false;
  const at::Tensor plain = run(*block_of("gine", o), in);
  EXPECT_LT(plain.min().item<double>(), 0);
  EXPECT_LT(support::distance(at::relu(plain), update), 1e-12);
}

TEST(MessageBlock, AddsAMessageBeforeTheActivationOrAfterABranchOfItsOwnResidual) {
  Input in;
  nn::MessageBlock::Options o;
  o.residual = o.activated = false;
  for (const char* name : {"gine", "gcnii"}) {
    const auto block = block_of(name, o);
    in.message = at::Tensor();
    const at::Tensor without = run(*block, in);
    in.message = at::randn({in.batch.nodes, 4}, at::kDouble);
    EXPECT_LT(support::distance(run(*block, in), without + in.message), 1e-12) << name;
  }
  const auto gated = block_of("gated_gcn", {});
  in.message = at::Tensor();
  const at::Tensor without = run(*gated, in);
  in.message = at::randn({in.batch.nodes, 4}, at::kDouble);
  EXPECT_LT(support::distance(run(*gated, in), without + in.message), 1e-12);
}

TEST(MessageBlock, ScalesRowsToLengthOne) {
  nn::MessageBlock::Options o;
  o.unit_rows = true;
  const at::Tensor length = run(*block_of("gcn", o), Input()).norm(2, 1);
  EXPECT_LT((length - 1).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace gtrain
