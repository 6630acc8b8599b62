// Sectors and bank conflicts come out as counted by hand.
#include "simt/traffic.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/simt/device.h"

namespace gtrain::simt_traffic {
namespace {

using simt::Device;
using simt::DeviceOptions;

DeviceOptions measured() {
  DeviceOptions options;
  options.measure = true;
  return options;
}

simt::Traffic loads_at_stride(int stride) {
  Device device(0, measured());
  auto in = device.input(std::vector<float>(static_cast<std::size_t>(32 * stride), 1.0f), "in");
  auto out = device.output<float>(32, "out");
  strided_load(in.data(), out.data(), stride);
  EXPECT_EQ(device.stores(out).sectors, 4u);
  return device.loads(in);
}

TEST(Traffic, ACoalescedLoadTouchesTheSectorsOfItsBytes) {
  EXPECT_EQ(loads_at_stride(1).requests, 1u);
  EXPECT_EQ(loads_at_stride(1).sectors, 4u);
  EXPECT_EQ(loads_at_stride(1).ratio(), 1.0);
}
TEST(Traffic, AGatherAtAStrideOf32BytesTouches32Sectors) {
  EXPECT_EQ(loads_at_stride(8).sectors, 32u);
  EXPECT_EQ(loads_at_stride(8).ratio(), 8.0);
}

simt::Banks banks_at_stride(int stride) {
  Device device(0, measured());
  auto out = device.output<float>(32, "out");
  strided_shared(stride, out.data());
  return device.banks();
}

TEST(Traffic, ARowOfSharedMemoryHasNoBankConflicts) {
  EXPECT_EQ(banks_at_stride(1).wavefronts, 2u);
  EXPECT_EQ(banks_at_stride(33).conflicts(), 0u);
}
TEST(Traffic, AColumnOfRowsOf128BytesConflicts32Ways) {
  EXPECT_EQ(banks_at_stride(32).wavefronts, 64u);
  EXPECT_EQ(banks_at_stride(32).conflicts(), 62u);
}
TEST(Traffic, AWarpOf16ByteAccessesTakesFourWavefronts) {
  Device device(0, measured());
  auto out = device.output<float>(32, "out");
  vector_shared(out.data());
  EXPECT_EQ(device.banks().wavefronts, 8u);
  EXPECT_EQ(device.banks().conflicts(), 0u);
}

std::uint64_t matrix_conflicts(int stride) {
  Device device(0, measured());
  const std::size_t count = 32 * static_cast<std::size_t>(stride);
  auto in = device.input(std::vector<unsigned short>(count, 1), "in");
  auto out = device.output<float>(32, "out");
  column_of_matrices(stride, in.data(), out.data());
  EXPECT_EQ(device.report(), "");
  return device.banks().conflicts();
}

TEST(Traffic, RowsPaddedBy16BytesLoadAsMatricesWithoutConflicts) {
  for (const int width : {16, 32, 64, 128}) EXPECT_EQ(matrix_conflicts(width + 8), 0u) << width;
  EXPECT_EQ(matrix_conflicts(64), 28u);
}

}  // namespace
}  // namespace gtrain::simt_traffic
