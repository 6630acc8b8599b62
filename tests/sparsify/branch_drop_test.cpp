#include "gtrain/sparsify/branch_drop.h"

#include "support/layer_case.h"

namespace gtrain::sparsify {
namespace {

at::Tensor starts() { return at::tensor({0, 3, 4, 8}, at::kLong); }

TEST(BranchDrop, KeepsOrDropsWholeGraphsInTrainingAlone) {
  BranchDrop gate(false);
  gate.set_keep(0.5);
  const at::Tensor one = at::ones({8, 2}, at::kDouble);
  bool dropped = false, kept = false;
  for (std::uint64_t key = 0; key < 16; ++key) {
    nn::Context context = support::context(true, key);
    const at::Tensor out = gate.through(one, starts(), context);
    EXPECT_TRUE(at::equal(out.slice(0, 0, 3), out[0].expand({3, 2})));
    EXPECT_TRUE(at::equal(out.slice(0, 4, 8), out[4].expand({4, 2})));
    dropped = dropped || out[4][0].item<double>() == 0;
    kept = kept || out[4][0].item<double>() == 2;
  }
  EXPECT_TRUE(dropped && kept);
  nn::Context evaluation = support::context(false);
  EXPECT_TRUE(at::equal(gate.through(one, starts(), evaluation), one));
}

TEST(BranchDrop, DrawsForEachNodeAsTheAuthorsDo) {
  BranchDrop gate(true);
  gate.set_keep(0.5);
  bool mixed = false;
  for (std::uint64_t key = 0; key < 16; ++key) {
    nn::Context context = support::context(true, key);
    const at::Tensor out = gate.through(at::ones({8, 1}, at::kDouble), starts(), context);
    mixed = mixed || out.slice(0, 4, 8).std().item<double>() > 0;
  }
  EXPECT_TRUE(mixed);
}

TEST(BranchDrop, ALearnedBranchClosesForGood) {
  const auto gate = support::ready(std::make_shared<BranchConcrete>());
  nn::Context context = support::context(true);
  const at::Tensor one = at::ones({8, 1}, at::kDouble);
  EXPECT_TRUE(support::same_bits(gate->through(one, starts(), context), one));
  gate->wake();
  EXPECT_TRUE(gate->through(one, starts(), context).requires_grad());
  EXPECT_FALSE(gate->closed(context));
  gate->settle(at::zeros({1}));
  EXPECT_TRUE(gate->closed(context));
}

}  // namespace
}  // namespace gtrain::sparsify
