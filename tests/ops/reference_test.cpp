#include "gtrain/ops/reference.h"

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/dropout.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/meta.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/segment.h"
#include "gtrain/ops/sparse_attention.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

TEST(Reference, AttentionMixesOnlyNodesOfTheSameGraph) {
  const auto b = support::pack({support::edgeless(2), support::edgeless(3)});
  at::Tensor qkv = at::zeros({5, 6});  // equal scores: every node gets its graph's mean value
  qkv.slice(1, 4, 6).copy_(at::arange(10).view({5, 2}));
  const at::Tensor out = ops::reference::varlen_attention(qkv, b.graph_start, 1);
  EXPECT_NEAR(out[0][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(out[1][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(out[4][1].item<double>(), 7, 1e-6);
}

TEST(Reference, AttentionAppliesARecordedMaskWithoutRenormalising) {
  const auto b = support::pack({support::edgeless(2)});
  at::Tensor qkv = at::zeros({2, 3});
  qkv.slice(1, 2, 3).fill_(1);
  at::Tensor mask = at::ones({1, 1, 2, 2}, at::kByte);
  mask[0][0][0][1] = 0;
  const at::Tensor out = ops::reference::varlen_attention(qkv, b.graph_start, 1, 0.5, mask);
  EXPECT_NEAR(out[0][0].item<double>(), 1.0, 1e-6);  // one of two weights kept, scaled by 2
  EXPECT_NEAR(out[1][0].item<double>(), 2.0, 1e-6);
}

TEST(Reference, GineAddsRectifiedMessages) {
  const auto b = support::pack({support::directed_path(2)});
  const at::Tensor x = at::tensor({1.0, 10.0}).unsqueeze(1);
  const at::Tensor e = at::tensor({-3.0}).unsqueeze(1);
  const at::Tensor silent = ops::reference::gine_aggregate(x, e, b.edges);
  EXPECT_EQ(support::distance(silent, x), 0);
  const at::Tensor heard = ops::reference::gine_aggregate(x, -e, b.edges);
  EXPECT_NEAR(heard[1][0].item<double>(), 14, 1e-6);
}

// The meta device stands for any other: its tensors have no memory, so a kernel that got one would
// read through a null pointer.
at::Tensor here(at::IntArrayRef sizes) { return at::ones(sizes); }
at::Tensor elsewhere(at::IntArrayRef sizes) {
  return at::empty(sizes, at::TensorOptions().device(at::kMeta));
}

template <class Call>
void expect_refusal(const Call& call, const std::string& message) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << message;
  } catch (const c10::Error& e) {
    EXPECT_NE(std::string(e.what()).find(message), std::string::npos) << e.what();
  }
}

TEST(FrontDoors, TakeOperandsThatLieWithTheFirst) {
  const support::EdgeBatch b = support::pack({support::star(4)});
  const std::int64_t n = b.nodes, e = b.edges.count();
  const ops::AttentionPattern p = ops::neighbour_pattern(b.graph_start, b.edges);
  const at::Tensor x = here({n, 4}), far = elsewhere({n, 4}), w = here({4});
  const std::string message = "an operand is on meta; expected cpu as x";
  expect_refusal([&] { ops::gine_aggregate(x, elsewhere({e, 4}), b.edges); }, message);
  expect_refusal([&] { ops::gated_gcn(x, elsewhere({e, 1}), b.edges); }, message);
  const at::Tensor q = x.view({n, 2, 2}), k = far.view({n, 2, 2});
  expect_refusal([&] { ops::sparse_attention(q, k, q, p); }, message);
  expect_refusal([&] { ops::sparse_attention(q, q, k, p); }, message);
  expect_refusal(
      [&] {
        ops::sparse_attention(q, q, q, p, {.pair_bias = elsewhere({e, 2})});
      },
      message);
  expect_refusal(
      [&] {
        ops::sparse_attention(q, q, q, p, {.type_bias = elsewhere({1, 2})});
      },
      message);
  expect_refusal([&] { ops::edge_attention(q, k, q, {}, p); }, message);
  expect_refusal([&] { ops::edge_attention(q, q, k, {}, p); }, message);
  expect_refusal([&] { ops::edge_attention(q, q, q, elsewhere({e, 2, 2}), p); }, message);
  expect_refusal([&] { ops::batch_norm(x, far, {w, w, w.clone(), w.clone()}, true); }, message);
  expect_refusal([&] { ops::layer_norm(x, far, w, w); }, message);
  expect_refusal([&] { ops::graph_norm(x, far, w, w, b.graph_start); }, message);
  expect_refusal([&] { ops::activate_rows(x, w, {}, far); }, message);
  expect_refusal([&] { ops::dropout(x, 0.5, 1, far); }, message);
}

TEST(FrontDoors, TakeTensorsOfDevicesWithKernels) {
  const at::Tensor start = at::tensor({0, 3}, at::kLong), far = elsewhere({3, 4});
  if (ops::has_meta()) {
    EXPECT_TRUE(ops::segment_sum(far, start).is_meta());
    EXPECT_EQ(ops::segment_sum(far, start).sizes(), at::IntArrayRef({1, 4}));
    EXPECT_EQ(ops::dropout(far, 0.5, 1).sizes(), far.sizes());
  } else {
    expect_refusal([&] { ops::segment_sum(far, start); }, "[segment_sum] x is on meta");
    expect_refusal([&] { ops::dropout(far, 0.5, 1); }, "[dropout] x is on meta");
  }
}

}  // namespace
}  // namespace gtrain
