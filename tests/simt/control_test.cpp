// Each fault is reported by the detector that is there for it, under every schedule; each correct
// twin passes in silence with the right values.
#include "simt/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "support/simt/schedule.h"

namespace gtrain::simt_control {
namespace {

using simt::Device;
using simt::DeviceOptions;

constexpr int kSchedules = 20;

std::vector<float> counting(int n) {
  std::vector<float> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 1.0f);
  return v;
}

// body(device) leaves a finding of this kind, whatever the schedule.
template <class Body>
void expect_finding(const char* kind, Body body, DeviceOptions options = {}) {
  for (int seed = 0; seed < kSchedules; ++seed) {
    Device device(static_cast<std::uint64_t>(seed), options);
    body(device);
    bool found = false;
    for (const simt::Finding& f : device.findings()) found = found || f.kind == kind;
    EXPECT_TRUE(found) << "schedule " << seed << ": no \"" << kind << "\" in\n" << device.report();
  }
}

template <class Body>
void expect_silence(Body body) {
  simt::for_each_schedule(kSchedules, body);
}

void run_reverse(Device& device, Reverse fault) {
  auto in = device.input(counting(480), "in");
  auto out = device.output<float>(480, "out");
  reverse(fault, in.data(), out.data(), 96, 5);
  if (fault == Reverse::kCorrect) {
    EXPECT_EQ(out.read()[389], 391.0f);
  }
}

TEST(Race, BarriersOrderSharedMemory) {
  expect_silence([](Device& d) { run_reverse(d, Reverse::kCorrect); });
}
TEST(Race, ADroppedBarrierBeforeAReadIsFound) {
  expect_finding("race", [](Device& d) { run_reverse(d, Reverse::kReadTooEarly); });
}
TEST(Race, ADroppedBarrierBeforeAWriteIsFound) {
  expect_finding("race", [](Device& d) { run_reverse(d, Reverse::kWriteTooEarly); });
}

void run_rotate(Device& device, bool sync) {
  auto in = device.input(counting(64), "in");
  auto out = device.output<float>(64, "out");
  rotate_in_warp(sync, in.data(), out.data(), 2);
  if (sync) {
    EXPECT_EQ(out.read()[63], 33.0f);
  }
}

TEST(Race, SyncwarpOrdersTheLanesOfAWarp) {
  expect_silence([](Device& d) { run_rotate(d, true); });
}
TEST(Race, AMissingSyncwarpIsFound) {
  expect_finding("race", [](Device& d) { run_rotate(d, false); });
}

void run_halves(Device& device, bool across) {
  auto in = device.input(counting(32), "in");
  auto out = device.output<float>(32, "out");
  rotate_in_halves(across, in.data(), out.data());
}

TEST(Race, SyncwarpOfHalfAMaskOrdersThatHalf) {
  expect_silence([](Device& d) { run_halves(d, false); });
}
TEST(Race, SyncwarpOfHalfAMaskDoesNotOrderTheOther) {
  expect_finding("race", [](Device& d) { run_halves(d, true); });
}

TEST(Race, BlocksThatWriteTheirOwnRangesAreSilent) {
  expect_silence([](Device& d) {
    auto out = d.output<float>(100, "out");
    block_ranges(0, out.data(), 4, 25);
    EXPECT_THAT(out.read(), testing::Each(1.0f));
  });
}
TEST(Race, TwoBlocksThatWriteOneAddressAreFound) {
  expect_finding("race", [](Device& d) {
    auto out = d.output<float>(101, "out");
    block_ranges(1, out.data(), 4, 25);
  });
}

TEST(Race, AtomicsDoNotRace) {
  expect_silence([](Device& d) {
    auto counter = d.buffer(std::vector<int>{0}, "counter");
    count_atomically(true, counter.data(), 3, 40);
    EXPECT_EQ(counter.read()[0], 120);
  });
}
TEST(Race, AnIncrementThatIsNotAtomicIsFound) {
  expect_finding("race", [](Device& d) {
    auto counter = d.buffer(std::vector<int>{0}, "counter");
    count_atomically(false, counter.data(), 3, 40);
  });
}
TEST(Race, LaunchesAreOrdered) {
  expect_silence([](Device& d) {
    auto out = d.output<float>(32, "out");
    store_to(out.data(), 32);
    store_to(out.data(), 32);
  });
}

TEST(Schedule, SumsInArrivalOrderChangeTheirBits) {
  std::set<float> sums;
  const std::vector<float> in{1e8f, 1.0f, -1e8f, 3.0f, 1e7f, 0.25f, -1e7f, 7.0f};
  for (int seed = 0; seed < kSchedules; ++seed) {
    Device device(static_cast<std::uint64_t>(seed));
    auto x = device.input(in, "in");
    auto slots = device.output<float>(8, "slots");
    auto out = device.output<float>(1, "out");
    auto ticket = device.buffer(std::vector<int>{0}, "ticket");
    sum_in_arrival_order(x.data(), slots.data(), out.data(), ticket.data(), 8);
    EXPECT_EQ(device.report(), "");
    sums.insert(out.read()[0]);
  }
  EXPECT_GT(sums.size(), 2u);
}

void run_sum(Device& device, Sum fault, int count) {
  auto in = device.input(counting(count), "in");
  auto out = device.output<float>(1, "out");
  warp_sum(fault, in.data(), out.data(), count);
  if (fault == Sum::kCorrect) {
    EXPECT_EQ(out.read()[0], static_cast<float>(count * (count + 1) / 2));
  }
}

TEST(Warp, ShufflesSumAWarp) {
  expect_silence([](Device& d) { run_sum(d, Sum::kCorrect, 27); });
}
TEST(Warp, AShuffleFromAnAbsentLaneIsFound) {
  expect_finding("absent lane", [](Device& d) { run_sum(d, Sum::kAbsentLane, 32); });
}
TEST(Warp, ACallerOutsideOfItsMaskIsFound) {
  expect_finding("absent lane", [](Device& d) { run_sum(d, Sum::kOutsideMask, 32); });
}
TEST(Warp, AShuffleAfterALaneReturnedIsFound) {
  expect_finding("absent lane", [](Device& d) { run_sum(d, Sum::kAfterReturn, 27); });
}

void run_barrier(Device& device, Barrier fault) {
  auto out = device.output<int>(64, "out");
  barrier(fault, out.data(), 64);
}

TEST(Barrier, OneThatAllThreadsReachIsSilent) {
  expect_silence([](Device& d) { run_barrier(d, Barrier::kCorrect); });
}
TEST(Barrier, OneThatHalfOfTheThreadsReachIsFound) {
  expect_finding("divergent barrier", [](Device& d) { run_barrier(d, Barrier::kHalf); });
}
TEST(Barrier, TwoCallSitesAreFound) {
  expect_finding("divergent barrier", [](Device& d) { run_barrier(d, Barrier::kTwoSites); });
}
TEST(Barrier, AThreadThatReturnedBeforeIsFound) {
  expect_finding("divergent barrier", [](Device& d) { run_barrier(d, Barrier::kAfterReturn); });
}

void run_offset(Device& device, int from) {
  auto in = device.input(counting(100), "in");
  auto out = device.output<float>(100, "out");
  copy_with_offset(in.data(), out.data(), 100, from);
  if (from == 0) {
    EXPECT_EQ(out.read(), counting(100));
  }
}

TEST(Bounds, AccessesInsideAreSilent) {
  expect_silence([](Device& d) { run_offset(d, 0); });
}
TEST(Bounds, ALoadOneElementBehindTheEndIsFound) {
  expect_finding("out of bounds", [](Device& d) { run_offset(d, 1); });
}
TEST(Bounds, ALoadOneElementBeforeTheStartIsFound) {
  expect_finding("out of bounds", [](Device& d) { run_offset(d, -1); });
}
TEST(Bounds, AStoreOneElementBehindTheEndIsFound) {
  expect_finding("out of bounds", [](Device& d) {
    auto out = d.output<float>(9, "out");
    store_to(out.data(), 10);
  });
}
TEST(Bounds, HostMemoryIsFound) {
  expect_finding("out of bounds", [](Device& d) {
    std::vector<float> on_host(4);
    auto out = d.output<float>(4, "out");
    copy_with_offset(on_host.data(), out.data(), 4, 0);
  });
}
TEST(Bounds, AnEmptyBufferHasNoElement) {
  expect_finding("out of bounds", [](Device& d) {
    auto out = d.output<float>(0, "out");
    store_to(out.data(), 1);
  });
}
TEST(Bounds, TheHostTouchingDeviceMemoryIsFound) {
  expect_finding("out of bounds", [](Device& d) {
    auto out = d.output<float>(1, "out");
    touch_on_host(out.data());
    store_to(out.data(), 1);
  });
}
TEST(Bounds, AStoreToAnInputIsFound) {
  expect_finding("store to an input", [](Device& d) {
    auto in = d.input(counting(4), "in");
    store_to(const_cast<float*>(in.data()), 4);
  });
}

TEST(Alignment, PacksOfAlignedRowsAreSilent) {
  expect_silence([](Device& d) {
    auto in = d.input(counting(16), "in");
    auto out = d.output<float>(16, "out");
    copy_packs(in.data(), out.data(), 4);
    EXPECT_EQ(out.read(), counting(16));
  });
}
TEST(Alignment, APackOffBySomeElementsIsFound) {
  expect_finding("misaligned", [](Device& d) {
    auto in = d.input(counting(17), "in");
    auto out = d.output<float>(16, "out");
    copy_packs(in.data() + 1, out.data(), 4);
  });
}

void run_shared(Device& device, bool initialise) {
  auto in = device.input(counting(32), "in");
  auto out = device.output<float>(32, "out");
  sum_shared(initialise, in.data(), out.data(), 32);
}

TEST(Initialisation, WrittenSharedMemoryIsSilent) {
  expect_silence([](Device& d) { run_shared(d, true); });
}
TEST(Initialisation, AReadOfUnwrittenSharedMemoryIsFound) {
  expect_finding("uninitialised", [](Device& d) { run_shared(d, false); });
}
TEST(Initialisation, AReadOfAnUnwrittenBufferIsFound) {
  expect_finding("uninitialised", [](Device& d) {
    auto in = d.output<float>(4, "workspace");
    auto out = d.output<float>(4, "out");
    copy_with_offset(in.data(), out.data(), 4, 0);
  });
}
TEST(Initialisation, AnOutputLeftOutIsFound) {
  expect_finding("uninitialised", [](Device& d) {
    auto out = d.output<float>(5, "out");
    store_to(out.data(), 4);
    out.read();
  });
}

void run_copy(Device& device, Copy fault) {
  auto in = device.input(counting(256), "in");
  auto out = device.output<float>(64, "out");
  async_copy(fault, in.data(), out.data(), 32);
  if (fault == Copy::kCorrect) {
    EXPECT_EQ(out.read()[0], 125.0f);
    EXPECT_EQ(out.read()[32], 253.0f);
  }
}

TEST(CpAsync, WaitAndBarrierMakeCopiesVisible) {
  expect_silence([](Device& d) { run_copy(d, Copy::kCorrect); });
}
TEST(CpAsync, AReadBeforeTheWaitIsFound) {
  expect_finding("cp.async", [](Device& d) { run_copy(d, Copy::kNoWait); });
}
TEST(CpAsync, AReadOfAnotherThreadsCopyWithoutBarrierIsFound) {
  expect_finding("race", [](Device& d) { run_copy(d, Copy::kNoBarrier); });
}
TEST(CpAsync, AWaitThatLeavesOneGroupTooManyIsFound) {
  expect_finding("cp.async", [](Device& d) { run_copy(d, Copy::kOneGroupShort); });
}
TEST(CpAsync, ACopyThatIsNeverAwaitedIsFound) {
  expect_finding("cp.async", [](Device& d) { run_copy(d, Copy::kNeverAwaited); });
}
TEST(CpAsync, ShortSourcesAreFilledWithZeros) {
  expect_silence([](Device& d) {
    auto in = d.input(counting(15), "in");
    auto out = d.output<float>(128, "out");
    async_copy_tail(in.data(), out.data(), 60);
    std::vector<float> expected = counting(15);
    expected.resize(128, 0.0f);
    EXPECT_EQ(out.read(), expected);
  });
}

TEST(ReadOnly, ALoadOfWhatTheLaunchWroteIsFound) {
  expect_finding("read-only load", [](Device& d) {
    auto data = d.output<float>(8, "data");
    auto out = d.output<float>(8, "out");
    read_back(data.data(), out.data(), 8);
  });
}
TEST(Space, GlobalMemoryLoadedAsSharedIsFound) {
  expect_finding("wrong space", [](Device& d) {
    auto in = d.input(counting(4), "in");
    auto out = d.output<float>(4, "out");
    wrong_space(true, in.data(), out.data());
  });
}
TEST(Space, SharedMemoryStoredToAsGlobalIsFound) {
  expect_finding("wrong space", [](Device& d) {
    auto in = d.input(counting(4), "in");
    auto out = d.output<float>(4, "out");
    wrong_space(false, in.data(), out.data());
  });
}

void run_shape(Device& device, int grid_y, int threads, unsigned long shared, bool opt_in) {
  auto out = device.output<float>(1, "out");
  launch_shape(grid_y, threads, shared, opt_in, out.data());
}

TEST(Launch, TheLargestShapesAreSilent) {
  expect_silence([](Device& d) { run_shape(d, 1, 1024, 163 * 1024, true); });
  expect_silence([](Device& d) { run_shape(d, 2, 32, 48 * 1024, false); });
}
TEST(Launch, AnEmptyGridIsFound) {
  expect_finding("launch", [](Device& d) { run_shape(d, 0, 32, 0, true); });
}
TEST(Launch, AGridOfTooManyRowsIsFound) {
  expect_finding("launch", [](Device& d) { run_shape(d, 65536, 32, 0, true); });
}
TEST(Launch, ABlockOfTooManyThreadsIsFound) {
  expect_finding("launch", [](Device& d) { run_shape(d, 1, 1025, 0, true); });
}
TEST(Launch, SharedMemoryAboveTheDefaultNeedsOptIn) {
  expect_finding("launch", [](Device& d) { run_shape(d, 1, 32, 48 * 1024 + 1, false); });
}
TEST(Launch, SharedMemoryAboveTheHardwaresIsFound) {
  expect_finding("launch", [](Device& d) { run_shape(d, 1, 32, 163 * 1024 + 1, true); });
}
TEST(Launch, AKernelThatDoesNotEndIsFound) {
  DeviceOptions options;
  options.step_limit = 20'000;
  expect_finding(
      "does not end",
      [](Device& d) {
        auto flag = d.buffer(std::vector<int>{0}, "flag");
        loop_for_ever(flag.data());
      },
      options);
}

void run_own_array(Device& device, int terms, int factor) {
  auto in = device.input(std::vector<int>{1, 2, 3, 4}, "in");
  auto out = device.output<int>(32, "out");
  sum_own_array(terms, factor, in.data(), out.data());
  if (terms == 4 && factor == 10) {
    EXPECT_THAT(out.read(), testing::Each(100));
  }
}

TEST(Undefined, ATermOfEachElementIsSilent) {
  expect_silence([](Device& d) { run_own_array(d, 4, 10); });
}
TEST(Undefined, AnIndexBeyondAThreadsOwnArrayIsFound) {
  expect_finding("undefined", [](Device& d) { run_own_array(d, 5, 10); });
}
TEST(Undefined, AnOverflowOfASignedIntegerIsFound) {
  expect_finding("undefined", [](Device& d) { run_own_array(d, 4, 1 << 29); });
}

}  // namespace
}  // namespace gtrain::simt_control
