// Bias, activation, dropout and residual on the emulator, against plain loops in double.
#include "ops/cuda/row.h"

#include "ops/cuda/segment.h"
#include "row_case.h"

namespace gtrain::ops::cuda {
namespace {

struct Options {
  Activation activation = Activation::kNone;
  bool bias = true, residual = true;
  double dropout = 0;
};

// Parameters are of type A; these are numbers that S has, too.
template <class A, class S>
std::vector<A> widen_to(const std::vector<S>& values) {
  std::vector<A> out;
  for (const S v : values) out.push_back(to_float(v));
  return out;
}

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double activated(Activation activation, double x) {
  if (activation == Activation::kRelu) return std::max(x, 0.0);
  return activation == Activation::kGelu ? x * phi(x) : x;
}

double slope(Activation activation, double x) {
  if (activation == Activation::kRelu) return x > 0 ? 1 : 0;
  if (activation == Activation::kNone) return 1;
  return phi(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0));
}

template <class S>
struct Case {
  using A = compute_t<S>;
  std::size_t rows, width;
  Options options;
  std::vector<S> x, residual, g;
  std::vector<A> bias;
  Doubles y, dx, dbias;
  Mask mask{0, kNotRead, 0};

  Case(std::size_t n, std::size_t d, Options o)
      : rows(n),
        width(d),
        options(o),
        x(numbers<S>(n * d, 1)),
        residual(numbers<S>(n * d, 3)),
        g(numbers<S>(n * d, 4)),
        bias(widen_to<A>(numbers<S>(d, 2))),
        y(n * d),
        dx(n * d),
        dbias(d) {
    if (o.dropout > 0) {
      mask = {ops::detail::drop_threshold(o.dropout), 1 / (1 - o.dropout), 0x1234567890abcdefULL};
    }
    // A sum of exactly 0, where ReLU's derivative is 0.
    if (n * d > 0) x[0] = from_float<S>(-bias[0]);
    for (std::size_t i = 0; i < n * d; ++i) {
      const std::size_t c = i % d;
      const double in = static_cast<double>(to_float(x[i])) + (o.bias ? bias[c] : A(0));
      const double keep = keep_factor(mask.threshold, mask.keep_scale, mask.key, i / d, c);
      y[i] = keep * activated(o.activation, in) + (o.residual ? to_float(residual[i]) : A(0));
      dx[i] = keep * to_float(g[i]) * slope(o.activation, in);
      dbias[c] += dx[i];
    }
  }

  void run(simt::Device& device) const {
    const auto xs = device.input(x, "x"), biases = device.input(bias, "bias");
    const auto residuals = device.input(residual, "residual"), gs = device.input(g, "g");
    const auto out = device.output<S>(y.size(), "y"), dxs = device.output<S>(y.size(), "dx");
    const auto again = device.output<S>(y.size(), "dx without dbias");
    const auto dbiases = device.output<A>(width, "dbias");
    const auto work = device.output<unsigned char>(
        segment_workspace(static_cast<std::int64_t>(rows), static_cast<std::int64_t>(width)),
        "workspace");
    ActivateRows<S> a;
    a.rows = static_cast<std::int64_t>(rows);
    a.width = static_cast<std::int64_t>(width);
    a.x = xs.data();
    a.bias = options.bias ? biases.data() : nullptr;
    a.residual = options.residual ? residuals.data() : nullptr;
    a.activation = options.activation;
    a.mask = mask;
    activate_rows(a, out.data(), nullptr);
    activate_rows_backward(a, {gs.data(), dxs.data(), dbiases.data(), work.data()}, nullptr);
    activate_rows_backward(a, {gs.data(), again.data(), nullptr, nullptr}, nullptr);
    expect_close(out.read(), y, "y", 2);
    expect_close(dxs.read(), dx, "dx", 2);
    expect_close(again.read(), dx, "dx without dbias", 2);
    expect_close(dbiases.read(), dbias, "dbias", 20);
  }
};

template <class S>
class RowKernel : public testing::Test {};
using Storages = testing::Types<float, double, bf16, f16>;
TYPED_TEST_SUITE(RowKernel, Storages);

TYPED_TEST(RowKernel, ActivatesAndDropsUnderManySchedules) {
  const Case<TypeParam> c(37, 8, {Activation::kGelu, true, true, 0.3});
  simt::for_each_schedule(50, [&](simt::Device& device) { c.run(device); });
}

TYPED_TEST(RowKernel, ComputesEveryCombination) {
  for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kGelu}) {
    for (const bool bias : {false, true}) {
      for (const bool residual : {false, true}) {
        for (const double dropout : {0.0, 0.5}) {
          const Case<TypeParam> c(5, 16, {activation, bias, residual, dropout});
          simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
        }
      }
    }
  }
}

TYPED_TEST(RowKernel, TakesAnyShape) {
  for (const std::size_t rows : {0, 1, 17}) {
    for (const std::size_t width : {0, 1, 3, 24, 64, 80, 300}) {
      const Case<TypeParam> c(rows, width, {Activation::kRelu, true, true, 0.1});
      simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
    }
  }
}

}  // namespace

TEST(RowKernelFloat, SumsTheGradientOfTheBiasOverManyRows) {
  const Case<float> c(1500, 2, {Activation::kRelu, true, true, 0.1});
  simt::for_each_schedule(2, [&](simt::Device& device) { c.run(device); });
}

TEST(RowKernelFloat, DropsEverythingAtTheLargestThreshold) {
  const std::vector<float> x = numbers<float>(64, 1);
  simt::Device device;
  const auto xs = device.input(x, "x");
  const auto y = device.output<float>(64, "y");
  ActivateRows<float> a;
  a.rows = 8;
  a.width = 8;
  a.x = xs.data();
  a.mask = {4294967295u, 1e30, 7};
  activate_rows(a, y.data(), nullptr);
  EXPECT_EQ(y.read(), std::vector<float>(64, 0.f));
}

TEST(RowKernelFloat, KeepsWhatIsDrawnAtTheThreshold) {
  const std::uint64_t stream = ops::detail::row_key(0x1234567890abcdefULL, 2);
  double dropout = 0;
  for (std::uint32_t column = 0; dropout < 0.3 || dropout > 0.7; ++column) {
    ASSERT_LT(column, 16u);
    dropout = ops::detail::draw<std::uint32_t>(stream, column) * 0x1p-32;
  }
  const Case<float> c(3, 16, {Activation::kNone, true, true, dropout});
  simt::for_each_schedule(1, [&](simt::Device& device) { c.run(device); });
}

TEST(RowKernelFloat, ReadsAndWritesWholeSectors) {
  const std::vector<float> x = numbers<float>(64 * 64, 1);
  simt::Device device(0, {true});
  const auto xs = device.input(x, "x");
  const auto y = device.output<float>(x.size(), "y");
  ActivateRows<float> a;
  a.rows = 64;
  a.width = 64;
  a.x = xs.data();
  activate_rows(a, y.data(), nullptr);
  EXPECT_EQ(device.loads(xs).ratio(), 1.0);
  EXPECT_EQ(device.loads(xs).requests * 512, x.size() * 4);
  EXPECT_EQ(device.stores(y).ratio(), 1.0);
}

}  // namespace gtrain::ops::cuda
