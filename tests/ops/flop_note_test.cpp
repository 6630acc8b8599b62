#include "gtrain/ops/flop_note.h"

#include <gtest/gtest.h>
#include <torch/nn/module.h>

namespace gtrain {
namespace {

TEST(FlopNote, AddsToTheCountOfTheInnermostScope) {
  ops::note_flops(ops::Work::kMessage, 5);  // nobody counts
  torch::nn::Module layer;
  ops::FlopCount count;
  count.name(layer, "layer");
  ops::note_flops(ops::Work::kAttention, 3);
  {
    const ops::FlopScope scope(layer);
    ops::note_flops(ops::Work::kAttention, 7);
  }
  EXPECT_EQ(count.modules().at("layer").of[1], 7);
  EXPECT_EQ(count.total().total(), 10);
}

}  // namespace
}  // namespace gtrain
