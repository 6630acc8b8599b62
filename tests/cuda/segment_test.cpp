// The segment kernels on the emulator, against plain loops in double.
#include "ops/cuda/segment.h"

#include <limits>

#include "row_case.h"

namespace gtrain::ops::cuda {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// One set of segments over a matrix, on one device.
template <class S>
struct Case {
  using A = compute_t<S>;
  Starts start;
  std::int64_t width;
  std::vector<S> x;
  std::vector<S> g;  // a gradient as large as x or as the reduction, whichever is larger

  Case(Starts s, std::int64_t d)
      : start(std::move(s)),
        width(d),
        x(numbers<S>(static_cast<std::size_t>(start.back() * d), 1)),
        g(numbers<S>(static_cast<std::size_t>(std::max(start.back(), count()) * d), 2)) {}

  std::int64_t rows() const { return start.back(); }
  std::int64_t count() const { return static_cast<std::int64_t>(start.size()) - 1; }
  std::size_t reduced() const { return static_cast<std::size_t>(count() * width); }
  std::size_t at(std::int64_t row, std::int64_t c) const {
    return static_cast<std::size_t>(row * width + c);
  }
  Segments segments(const simt::Buffer<std::int64_t>& on_device) const {
    return {rows(), count(), width, on_device.data()};
  }
  simt::Buffer<unsigned char> workspace(simt::Device& device) const {
    return device.output<unsigned char>(segment_workspace(rows(), width), "workspace");
  }
  // body(segment, first row, end, column)
  template <class Body>
  void each(const Body& body) const {
    for (std::int64_t s = 0; s < count(); ++s) {
      for (std::int64_t c = 0; c < width; ++c) {
        body(s, start[static_cast<std::size_t>(s)], start[static_cast<std::size_t>(s) + 1], c);
      }
    }
  }

  void sum(simt::Device& device, bool mean) const;
  void maximum(simt::Device& device) const;
  void softmax(simt::Device& device) const;
};

template <class S>
void Case<S>::sum(simt::Device& device, bool mean) const {
  const Doubles xs = widen(x), gs = widen(g);
  Doubles want(reduced()), dwant(x.size());
  each([&](std::int64_t s, std::int64_t first, std::int64_t end, std::int64_t c) {
    const double divisor = mean ? static_cast<double>(std::max<std::int64_t>(end - first, 1)) : 1;
    for (std::int64_t i = first; i < end; ++i) {
      want[at(s, c)] += xs[at(i, c)] / divisor;
      dwant[at(i, c)] = gs[at(s, c)] / divisor;
    }
  });
  const auto starts = device.input(start, "start");
  const auto input = device.input(x, "x"), gradient = device.input(g, "g");
  const auto out = device.output<S>(reduced(), "out"), dx = device.output<S>(x.size(), "dx");
  const auto work = workspace(device);
  const SegmentSum what{segments(starts), nullptr, mean};
  segment_sum(what, input.data(), out.data(), work.data(), nullptr);
  segment_sum_backward(what, gradient.data(), dx.data(), nullptr);
  expect_close(out.read(), want, "sum", 4);
  expect_close(dx.read(), dwant, "dx");
}

template <class S>
void Case<S>::maximum(simt::Device& device) const {
  const Doubles xs = widen(x), gs = widen(g);
  Doubles want(reduced()), dwant(x.size());
  Starts argmax(reduced(), -1);
  each([&](std::int64_t s, std::int64_t first, std::int64_t end, std::int64_t c) {
    for (std::int64_t i = first; i < end; ++i) {
      const double v = xs[at(i, c)], best = want[at(s, c)];
      if (argmax[at(s, c)] < 0 || v > best || (std::isnan(v) && !std::isnan(best))) {
        want[at(s, c)] = v;
        argmax[at(s, c)] = i;
      }
    }
    if (end > first) {
      dwant[static_cast<std::size_t>(argmax[at(s, c)] * width + c)] = gs[at(s, c)];
    }
  });
  const auto starts = device.input(start, "start");
  const auto input = device.input(x, "x"), gradient = device.input(g, "g");
  const auto out = device.output<S>(reduced(), "out"), dx = device.output<S>(x.size(), "dx");
  const auto where = device.output<std::int64_t>(reduced(), "argmax");
  const auto work = workspace(device);
  segment_max(segments(starts), input.data(), out.data(), where.data(), work.data(), nullptr);
  segment_max_backward(segments(starts), gradient.data(), where.data(), dx.data(), nullptr);
  expect_close(out.read(), want, "max", 0);
  EXPECT_EQ(where.read(), argmax);
  expect_close(dx.read(), dwant, "dx", 0);
}

template <class S>
void Case<S>::softmax(simt::Device& device) const {
  const Doubles xs = widen(x), gs = widen(g);
  Doubles want(x.size()), dwant(x.size()), wanted_statistics(2 * reduced());
  each([&](std::int64_t s, std::int64_t first, std::int64_t end, std::int64_t c) {
    double top = -kInfinity, sum = 0;
    for (std::int64_t i = first; i < end; ++i) top = std::max(top, xs[at(i, c)]);
    if (top == -kInfinity) return;
    for (std::int64_t i = first; i < end; ++i) sum += std::exp(xs[at(i, c)] - top);
    wanted_statistics[2 * at(s, c)] = top;
    wanted_statistics[2 * at(s, c) + 1] = sum;
    for (std::int64_t i = first; i < end; ++i) want[at(i, c)] = std::exp(xs[at(i, c)] - top) / sum;
  });
  // The backward of the forward's own result.
  const auto starts = device.input(start, "start");
  const auto input = device.input(x, "x"), gradient = device.input(g, "g");
  const auto y = device.output<S>(x.size(), "y"), dx = device.output<S>(x.size(), "dx");
  const auto statistics = device.output<A>(2 * reduced(), "statistics");
  const auto dot = device.output<A>(reduced(), "dot");
  const auto work = workspace(device);
  segment_softmax(segments(starts), input.data(), y.data(), statistics.data(), work.data(),
                  nullptr);
  expect_close(y.read(), want, "softmax");
  expect_close(statistics.read(), wanted_statistics, "statistics", 4);
  segment_softmax_backward(segments(starts),
                           SoftmaxBackward<S>{y.data(), gradient.data(), dx.data(), dot.data()},
                           work.data(), nullptr);
  const Doubles ys = widen(y.read());
  each([&](std::int64_t, std::int64_t first, std::int64_t end, std::int64_t c) {
    double sum = 0;
    for (std::int64_t i = first; i < end; ++i) sum += ys[at(i, c)] * gs[at(i, c)];
    for (std::int64_t i = first; i < end; ++i) {
      dwant[at(i, c)] = ys[at(i, c)] * (gs[at(i, c)] - sum);
    }
  });
  expect_close(dx.read(), dwant, "dx", 4);
}

template <class S>
class SegmentKernel : public testing::Test {};
using Storages = testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(SegmentKernel, Storages);

template <class S>
void run_all(const Case<S>& c, simt::Device& device) {
  c.sum(device, false);
  c.sum(device, true);
  c.maximum(device);
  c.softmax(device);
}

TYPED_TEST(SegmentKernel, ReducesOddSegmentsUnderManySchedules) {
  const Case<TypeParam> c(odd_starts(), 8);
  simt::for_each_schedule(50, [&](simt::Device& device) { run_all(c, device); });
}

TYPED_TEST(SegmentKernel, ReducesAnyWidth) {
  for (const std::int64_t width : {1, 3, 24, 33, 80}) {
    const Case<TypeParam> c(starts_of({5, 0, 20, 1}), width);
    simt::for_each_schedule(2, [&](simt::Device& device) { run_all(c, device); });
  }
}

TYPED_TEST(SegmentKernel, ReducesFewAndNoRows) {
  for (const Starts& start :
       {Starts{0}, Starts{0, 0}, Starts{0, 1}, Starts{0, 2, 4}, Starts{0, 0, 0, 16}}) {
    const Case<TypeParam> c(start, 4);
    simt::for_each_schedule(3, [&](simt::Device& device) { run_all(c, device); });
  }
}

TYPED_TEST(SegmentKernel, ToleratesNoColumns) {
  const Case<TypeParam> c(starts_of({2, 3}), 0);
  simt::for_each_schedule(1, [&](simt::Device& device) { run_all(c, device); });
}

}  // namespace

// Segments of 64 and 65 chunks lie on either side of the border between the two ways to merge.
TEST(SegmentKernelFloat, MergesLongSegments) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{2100},
                                                                  {7, 1100, 3},
                                                                  {1024},
                                                                  {1025, 9},
                                                                  {1, 1024, 40},
                                                                  {16, 1040, 0, 1200},
                                                                  {1024, 1100},
                                                                  {1030, 1030, 1030}}) {
    const Case<float> c(starts_of(sizes), 2);
    simt::for_each_schedule(3, [&](simt::Device& device) { run_all(c, device); });
  }
}

TEST(SegmentKernelFloat, MergesLongSegmentsOfManyColumns) {
  const Case<float> c(starts_of({30, 1100}), 33);
  simt::for_each_schedule(1, [&](simt::Device& device) { run_all(c, device); });
}

TEST(SegmentKernelFloat, GivesTheSameBitsUnderEverySchedule) {
  const Case<float> c(starts_of({40, 1500, 3}), 4);
  std::vector<float> first;
  simt::for_each_schedule(4, [&](simt::Device& device) {
    const auto starts = device.input(c.start, "start");
    const auto input = device.input(c.x, "x");
    const auto out = device.output<float>(c.reduced(), "out");
    const auto work = c.workspace(device);
    segment_sum(SegmentSum{c.segments(starts)}, input.data(), out.data(), work.data(), nullptr);
    if (first.empty()) first = out.read();
    EXPECT_EQ(out.read(), first);
  });
}

TEST(SegmentKernelFloat, TakesTheFirstOfEqualRowsAndPrefersNan) {
  for (const std::int64_t rows : {5, 40, 1500}) {
    Case<float> c({0, rows}, 4);
    for (std::int64_t i = 0; i < rows; ++i) {
      c.x[c.at(i, 0)] = 1;
      c.x[c.at(i, 1)] = i >= rows / 2 ? 3.f : 2.f;
      c.x[c.at(i, 2)] = i == rows / 3 || i == rows - 1 ? static_cast<float>(kNan) : 9.f;
      c.x[c.at(i, 3)] = -static_cast<float>(kInfinity);
    }
    simt::for_each_schedule(3, [&](simt::Device& device) { c.maximum(device); });
  }
}

TEST(SegmentKernelFloat, SoftmaxBearsInfinityAndLargeNumbers) {
  for (const std::int64_t rows : {3, 40, 1300}) {
    Case<float> c({0, rows, 2 * rows}, 4);
    for (std::int64_t i = 0; i < 2 * rows; ++i) {
      c.x[c.at(i, 0)] = -static_cast<float>(kInfinity);
      c.x[c.at(i, 1)] = i % rows == rows - 1 ? -3.f : -static_cast<float>(kInfinity);
      c.x[c.at(i, 2)] = i % 2 == 0 ? 1000.f : 999.f;
      c.x[c.at(i, 3)] = i % rows == 0 ? 5.f : -static_cast<float>(kInfinity);
    }
    simt::for_each_schedule(2, [&](simt::Device& device) { c.softmax(device); });
  }
}

TEST(SegmentKernelFloat, GathersAndSumsBackByPosition) {
  const Starts index{4, 0, 0, 2, 4, 4, 1, 0, 2};
  const Starts start{0, 3, 4, 6, 6, 9}, position{1, 2, 7, 6, 3, 8, 0, 4, 5};
  for (const std::int64_t width : {3, 8, 130}) {
    const auto x = numbers<float>(static_cast<std::size_t>(5 * width), 5);
    const auto g = numbers<float>(static_cast<std::size_t>(9 * width), 6);
    Doubles want(g.size()), dwant(x.size());
    for (std::size_t p = 0; p < index.size(); ++p) {
      for (std::int64_t c = 0; c < width; ++c) {
        const auto from = static_cast<std::size_t>(index[p] * width + c);
        want[p * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)] = x[from];
        dwant[from] += g[p * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)];
      }
    }
    simt::for_each_schedule(10, [&](simt::Device& device) {
      const auto indices = device.input(index, "index"), starts = device.input(start, "start");
      const auto positions = device.input(position, "position");
      const auto input = device.input(x, "x"), gradient = device.input(g, "g");
      const auto out = device.output<float>(g.size(), "out");
      const auto dx = device.output<float>(x.size(), "dx");
      const auto work = device.output<unsigned char>(segment_workspace(9, width), "workspace");
      gather(9, width, indices.data(), input.data(), out.data(), nullptr);
      segment_sum(SegmentSum{{9, 5, width, starts.data()}, positions.data(), false},
                  gradient.data(), dx.data(), work.data(), nullptr);
      expect_close(out.read(), want, "gather", 0);
      expect_close(dx.read(), dwant, "scatter", 2);
    });
  }
}

// A matrix that begins 4 bytes off a 16-byte border takes single accesses.
TEST(SegmentKernelFloat, TakesUnalignedMatrices) {
  const Starts start{0, 7, 20};
  const auto x = numbers<float>(20 * 4 + 1, 7);
  Doubles want(8);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t c = 0; c < 4; ++c) want[(i < 7 ? 0 : 4) + c] += x[1 + i * 4 + c];
  }
  simt::for_each_schedule(3, [&](simt::Device& device) {
    const auto starts = device.input(start, "start");
    const auto input = device.input(x, "x");
    const auto out = device.output<float>(8, "out");
    const auto work = device.output<unsigned char>(segment_workspace(20, 4), "workspace");
    segment_sum(SegmentSum{{20, 2, 4, starts.data()}}, input.data() + 1, out.data(), work.data(),
                nullptr);
    expect_close(out.read(), want, "sum", 4);
  });
}

TEST(SegmentKernelFloat, ReadsAndWritesWholeSectors) {
  const Case<float> c(starts_of({23, 32, 9}), 64);
  simt::Device device(0, {true});
  const auto starts = device.input(c.start, "start");
  const auto input = device.input(c.x, "x"), gradient = device.input(c.g, "g");
  const auto out = device.output<float>(c.reduced(), "out");
  const auto dx = device.output<float>(c.x.size(), "dx");
  const auto work = c.workspace(device);
  const SegmentSum what{c.segments(starts)};
  segment_sum(what, input.data(), out.data(), work.data(), nullptr);
  segment_sum_backward(what, gradient.data(), dx.data(), nullptr);
  EXPECT_EQ(device.loads(input).ratio(), 1.0);
  EXPECT_EQ(device.loads(input).requests * 32 * 16, c.x.size() * 4);  // 16 bytes a lane
  EXPECT_EQ(device.stores(dx).ratio(), 1.0);
  EXPECT_EQ(device.stores(out).ratio(), 1.0);
  EXPECT_TRUE(device.findings().empty()) << device.report();
}

// A thread has 16 bytes of 16 rows, of 8 where nothing is reduced; a block merges 512 channels, or
// 32 of each 64 chunks.
TEST(SegmentKernelFloat, LaunchesAThreadForWhatItReduces) {
  const auto launches = [](const Starts& start, std::int64_t width) {
    const Case<float> c(start, width);
    simt::Device device;
    c.sum(device, false);
    return device.launches();
  };
  const std::size_t merging = 512 * sizeof(float);
  EXPECT_EQ(
      launches({0, 128}, 64),
      (std::vector<simt::Launch>{{1, 1, 1, 128, 0}, {1, 1, 1, 512, merging}, {2, 1, 1, 128, 0}}));
  EXPECT_EQ(
      launches({0, 129}, 64),
      (std::vector<simt::Launch>{{2, 1, 1, 128, 0}, {1, 1, 1, 512, merging}, {3, 1, 1, 128, 0}}));
  EXPECT_EQ(
      launches(starts_of({3, 5, 8}), 171),
      (std::vector<simt::Launch>{{2, 1, 1, 128, 0}, {2, 1, 1, 512, merging}, {3, 1, 1, 128, 0}}));
  EXPECT_EQ(launches({0, 3, 5}, 256)[1], (simt::Launch{1, 1, 1, 512, merging}));
  EXPECT_EQ(launches({0, 1024}, 33)[1], (simt::Launch{1, 1, 1, 512, merging}));
  EXPECT_EQ(launches({0, 1025}, 33)[1], (simt::Launch{1 + 2 * 2, 1, 1, 512, merging}));
  EXPECT_EQ(launches({0, 2048}, 32)[1], (simt::Launch{1 + 2 * 1, 1, 1, 512, merging}));
}

// 1,025 chunks of 32 rows, each of 32 threads with four channels.
TEST(SegmentKernelFloat, LaunchesTheChunksOfItsCut) {
  const Case<float> c({0, 32769}, 128);
  simt::Device device;
  const auto starts = device.input(c.start, "start");
  const auto input = device.input(c.x, "x");
  const auto out = device.output<float>(c.reduced(), "out");
  const auto work = c.workspace(device);
  segment_sum(SegmentSum{c.segments(starts)}, input.data(), out.data(), work.data(), nullptr);
  EXPECT_EQ(device.launches()[0], (simt::Launch{257, 1, 1, 128, 0}));
  EXPECT_TRUE(device.findings().empty()) << device.report();
}

// 2^32 + 1 blocks: one, by the last 32 bits.
TEST(SegmentKernelFloat, LaunchesNoGridLargerThanADeviceTakes) {
  const std::int64_t rows = ((std::int64_t{1} << 32) + 1) * 128 * 8;
  simt::Device device;
  const auto index = device.input(Starts(1024, 0), "index");
  const auto x = device.input(std::vector<float>{1}, "x");
  const auto out = device.output<float>(1024, "out");
  gather(rows, 1, index.data(), x.data(), out.data(), nullptr);
  ASSERT_EQ(device.findings().size(), 1u);
  EXPECT_EQ(device.findings()[0].kind, "launch");
}

TEST(SegmentKernelFloat, CutsSoThatLargeDevicesAreFull) {
  EXPECT_EQ(chunk_rows(32768, 128), 16);
  EXPECT_EQ(chunk_rows(32769, 128), 32);
  EXPECT_EQ(chunk_rows(1 << 20, 8), 32);
  EXPECT_EQ(chunk_rows(5, 0), 16);
  EXPECT_EQ(segment_workspace(17, 3), 2 * 2 * 3 * kStateBytes);
}

}  // namespace gtrain::ops::cuda
