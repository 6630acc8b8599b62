// Batch, layer and graph norm on the emulator, against plain loops in double.
#include "ops/cuda/norm.h"

#include "cuda/norm_case.h"

namespace gtrain::ops::cuda {
namespace {

template <class S>
class NormKernel : public testing::Test {};
using Storages = testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(NormKernel, Storages);

TYPED_TEST(NormKernel, NormalisesUnderManySchedules) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    const Case<TypeParam> c(starts_of({0, 19, 1, 0, 22}), 8, {kind, true, 0.3});
    simt::for_each_schedule(50, [&](simt::Device& device) { c.run(device); });
  }
}

TYPED_TEST(NormKernel, TakesEveryInput) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    for (const bool residual : {false, true}) {
      for (const double dropout : {0.0, 0.2}) {
        const Case<TypeParam> c(starts_of({4, 6}), 16, {kind, residual, dropout});
        simt::for_each_schedule(2, [&](simt::Device& device) { c.run(device); });
      }
    }
  }
}

TYPED_TEST(NormKernel, TakesAnyShape) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    for (const Starts& start : {Starts{0, 1}, Starts{0, 2, 2, 17}}) {
      for (const std::size_t width : {1, 3, 24, 64, 80, 300}) {
        if (width == 300 && start.size() == 2) continue;
        const Case<TypeParam> c(start, width, {kind, true, 0});
        simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
      }
    }
  }
}

TYPED_TEST(NormKernel, NormalisesByRunningStatistics) {
  for (const std::size_t width : {3, 16, 129}) {
    const Case<TypeParam> c({0, 9}, width, {Kind::kBatch, false, 0});
    simt::for_each_schedule(3, [&](simt::Device& device) { c.run_inference(device); });
  }
}

TYPED_TEST(NormKernel, LaunchesNothingWithoutRows) {
  for (const Starts& start : {Starts{0}, Starts{0, 0, 0}}) {
    simt::Device device;
    const Case<TypeParam> c(start, 8, {Kind::kGraph, true, 0});
    const auto b = c.buffers(device);
    const Norm<TypeParam> norm = c.norm(b);
    layer_norm(0, 8, norm, nullptr);
    batch_norm(0, 8, norm, {b.running_mean.data(), b.running_var.data(), 0.1}, nullptr, nullptr);
    batch_norm_inference(0, 8, norm, {b.running_mean.data(), b.running_var.data(), 0.1}, nullptr);
    graph_norm(c.segments(b), norm, b.scratch.data(), b.workspace.data(), nullptr);
    EXPECT_EQ(device.report(), "");
    batch_norm_backward(0, 8, c.gradient(b), true, nullptr, nullptr);
    EXPECT_TRUE(device.launches().empty() || start.size() > 1);
    EXPECT_EQ(b.running_mean.read(), std::vector<compute_t<TypeParam>>(8, 0.5));
    EXPECT_EQ(b.running_var.read(), std::vector<compute_t<TypeParam>>(8, 2));
  }
}

TYPED_TEST(NormKernel, LaunchesNothingWithoutColumns) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    simt::Device device;
    const Case<TypeParam> c({0, 3}, 0, {kind, true, 0});
    const auto b = c.buffers(device);
    c.forward(b, true);
    c.backward(b, true);
    c.forward(b, false);
    EXPECT_TRUE(device.launches().empty());
    EXPECT_EQ(device.report(), "");
  }
}

// Without rows the gradients of the parameters are still written: 0.
TYPED_TEST(NormKernel, GradientsOfParametersAreZeroWithoutRows) {
  const std::vector<compute_t<TypeParam>> zeros(8, 0);
  for (const Kind kind : {Kind::kLayer, Kind::kGraph}) {
    for (const Starts& start : {Starts{0}, Starts{0, 0, 0}}) {
      simt::Device device;
      const Case<TypeParam> c(start, 8, {kind, true, 0});
      const auto b = c.buffers(device);
      c.backward(b, true);
      EXPECT_EQ(b.dweight.read(), zeros);
      EXPECT_EQ(b.dbias.read(), zeros);
      EXPECT_EQ(device.report(), "");
    }
  }
}

}  // namespace

TEST(NormKernelFloat, MergesManyChunks) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    const Case<float> c(starts_of({100, 1100, 0, 3}), 2, {kind, true, 0.1});
    simt::for_each_schedule(2, [&](simt::Device& device) { c.run(device); });
  }
}

// The gradients of weight and bias add up the graphs' sums in chunks of 16.
TEST(NormKernelFloat, MergesTheSumsOfManyGraphs) {
  Starts start{0};
  for (int g = 0; g < 40; ++g) start.push_back(start.back() + 1 + g % 3);
  const Case<float> c(start, 5, {Kind::kGraph, true, 0});
  simt::for_each_schedule(2, [&](simt::Device& device) { c.run(device); });
}

// Squares of these numbers hold none of the variance's digits.
TEST(NormKernelFloat, KeepsTheVarianceFarFromZero) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    const Case<float> c(starts_of({40, 33}), 40, {kind, false, 0, 1024});
    simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
  }
}

TEST(NormKernelFloat, NormalisesWideRowsInFewerWarps) {
  const auto largest = static_cast<std::size_t>(kLayerNormWidth<float>);
  for (const std::size_t width :
       {std::size_t{3100}, std::size_t{6200}, std::size_t{11000}, largest}) {
    const Case<float> c({0, 5}, width, {Kind::kLayer, true, 0});
    simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
  }
}

// Lanes of a row, rows of a block, and the block's rows in shared memory.
TEST(NormKernelFloat, ShapesBlocksByTheWidthOfARow) {
  struct Shape {
    std::int64_t rows;
    std::size_t width;
    unsigned blocks, threads;
    std::size_t block_rows;
  };
  const std::vector<Shape> shapes = {
      {70, 4, 1, 128, 128},  {70, 8, 2, 128, 64},  {64, 8, 1, 128, 64}, {70, 9, 9, 128, 8},
      {70, 128, 18, 128, 4}, {5, 3072, 2, 128, 4}, {5, 3073, 3, 64, 2}, {5, 12292, 5, 32, 1}};
  for (const auto& [rows, width, blocks, threads, block_rows] : shapes) {
    const Case<float> c({0, rows}, width, {Kind::kLayer, true, 0});
    simt::Device device;
    const auto b = c.buffers(device);
    c.forward(b, true);
    EXPECT_EQ(device.launches(),
              (std::vector<simt::Launch>{{blocks, 1, 1, threads, 4 * block_rows * width}}));
    c.backward(b, true);
    const simt::Launch gradient = device.launches().back();
    EXPECT_EQ(gradient, (simt::Launch{gradient.x, 1, 1, 128, 0}));
    EXPECT_LE(gradient.x, blocks);
  }
}

// A warp a graph; blocks that merge keep a state of each thread.
TEST(NormKernelFloat, LaunchesAWarpForEachGraph) {
  const Case<float> c(starts_of(std::vector<std::int64_t>(20, 1)), 129, {Kind::kGraph, true, 0});
  simt::Device device;
  const auto b = c.buffers(device);
  c.forward(b, true);
  c.backward(b, true);
  const simt::Launch fold{3, 1, 1, 128, 0}, map{4, 1, 1, 128, 0}, graphs{5, 1, 1, 128, 0};
  const std::size_t moments = 512 * 12, sums = 512 * 8;
  EXPECT_EQ(device.launches(), (std::vector<simt::Launch>{fold,
                                                          {6, 1, 1, 512, moments},
                                                          graphs,
                                                          map,
                                                          fold,
                                                          {6, 1, 1, 512, sums},
                                                          graphs,
                                                          fold,
                                                          {1, 1, 1, 512, sums},
                                                          map}));
  const Case<float> batch({0, 3}, 129, {Kind::kBatch, false, 0});
  const std::size_t before = device.launches().size();
  const auto more = batch.buffers(device);
  batch.forward(more, false);
  ASSERT_EQ(device.launches().size(), before + 2);
  EXPECT_EQ(device.launches()[before], (simt::Launch{2, 1, 1, 128, 0}));
  EXPECT_EQ(device.report(), "");
}

TEST(NormKernelFloat, ReadsAndWritesWholeSectorsWithoutBankConflicts) {
  for (const Kind kind : {Kind::kBatch, Kind::kLayer, Kind::kGraph}) {
    const Case<float> c(starts_of({16, 48}), 64, {kind, true, 0});
    simt::Device device(0, {true});
    const auto b = c.buffers(device);
    c.forward(b, true);
    EXPECT_EQ(device.loads(b.x).ratio(), 1.0);
    EXPECT_EQ(device.loads(b.x).requests * 512, c.x.size() * 4);
    EXPECT_EQ(device.loads(b.residual).ratio(), 1.0);
    EXPECT_EQ(device.stores(b.z).ratio(), 1.0);
    EXPECT_EQ(device.stores(b.y).ratio(), 1.0);
    if (kind == Kind::kLayer) {
      EXPECT_EQ(device.banks().conflicts(), 0u);
    }
    c.backward(b, true);
    EXPECT_EQ(device.loads(b.g).ratio(), 1.0);
    EXPECT_EQ(device.stores(b.dz).ratio(), 1.0);
    EXPECT_EQ(device.report(), "");
  }
}

}  // namespace gtrain::ops::cuda
