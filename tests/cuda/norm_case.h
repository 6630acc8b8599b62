// Inputs of the tests of batch, layer and graph norm, their definitions by plain loops in double,
// and the call of the launchers.
#pragma once

#include "cuda/row_case.h"
#include "ops/cuda/norm.h"

namespace gtrain::ops::cuda {

// What a statistic belongs to decides which rows and columns share it.
enum class Kind { kBatch, kLayer, kGraph };

struct Options {
  Kind kind = Kind::kBatch;
  bool residual = true;
  double dropout = 0;
  double offset = 0;  // of the input: far from 0 its variance is small beside its square
};

constexpr double kEps = 1e-3;

template <class S>
struct Case {
  using A = compute_t<S>;
  Options options;
  Starts start;
  std::size_t rows, width, groups;
  std::vector<S> x, residual, g;
  std::vector<A> weight, bias;
  Mask mask{0, kNotRead, 0};

  Case(Starts s, std::size_t d, Options o)
      : options(o),
        start(std::move(s)),
        rows(static_cast<std::size_t>(start.back())),
        width(d),
        groups(o.kind == Kind::kBatch   ? d
               : o.kind == Kind::kLayer ? rows
                                        : start.size() - 1),
        x(numbers<S>(rows * d, 1)),
        residual(numbers<S>(rows * d, 2)),
        g(numbers<S>(rows * d, 3)),
        weight(numbers<A>(d, 4)),
        bias(numbers<A>(d, 5)) {
    if (o.dropout > 0) mask = {ops::detail::drop_threshold(o.dropout), 1 / (1 - o.dropout), 99};
    for (S& v : x) v = from_float<S>(to_float(v) + static_cast<A>(o.offset));
  }

  bool plain() const { return !options.residual && mask.threshold == 0; }
  std::size_t group(std::size_t row, std::size_t c) const {
    if (options.kind == Kind::kBatch) return c;
    if (options.kind == Kind::kLayer) return row;
    std::size_t s = 0;
    while (start[s + 1] <= static_cast<std::int64_t>(row)) ++s;
    return s;
  }

  // Rounded to S, as the kernels keep it.
  Doubles input() const {
    Doubles z(x.size());
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double keep =
          keep_factor(mask.threshold, mask.keep_scale, mask.key, i / width, i % width);
      z[i] = static_cast<double>(to_float(x[i])) * keep;
      if (options.residual) z[i] += static_cast<double>(to_float(residual[i]));
    }
    return plain() ? z : widen(narrow<S>(z));
  }

  struct Statistics {
    Doubles mean, var, count;
  };
  Statistics statistics(const Doubles& z) const {
    Statistics s{Doubles(groups), Doubles(groups), Doubles(groups)};
    for (std::size_t i = 0; i < z.size(); ++i) s.count[group(i / width, i % width)] += 1;
    for (std::size_t i = 0; i < z.size(); ++i) {
      const std::size_t k = group(i / width, i % width);
      s.mean[k] += z[i] / s.count[k];
    }
    for (std::size_t i = 0; i < z.size(); ++i) {
      const std::size_t k = group(i / width, i % width);
      s.var[k] += (z[i] - s.mean[k]) * (z[i] - s.mean[k]) / s.count[k];
    }
    return s;
  }

  struct Buffers {
    simt::Buffer<S> x, residual, g, z, y, dz, dx;
    simt::Buffer<A> weight, bias, mean, rstd, dweight, dbias, scratch, running_mean, running_var;
    simt::Buffer<std::int64_t> start;
    simt::Buffer<unsigned char> workspace;
  };
  Buffers buffers(simt::Device& device) const;
  Norm<S> norm(const Buffers& b) const;
  NormGradient<S> gradient(const Buffers& b) const;
  void forward(const Buffers& b, bool training) const;
  void backward(const Buffers& b, bool training) const;
  void expect_backward(const Buffers& b, const Doubles& z, const Statistics& s,
                       bool training) const;
  void run(simt::Device& device) const;
  void run_inference(simt::Device& device) const;
  Segments segments(const Buffers& b) const {
    return {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(start.size()) - 1,
            static_cast<std::int64_t>(width), b.start.data()};
  }
};

template <class S>
auto Case<S>::buffers(simt::Device& device) const -> Buffers {
  const std::size_t all = rows * width, graphs = start.size() - 1;
  return {device.input(x, "x"),
          device.input(residual, "residual"),
          device.input(g, "g"),
          device.output<S>(all, "z"),
          device.output<S>(all, "y"),
          device.output<S>(all, "dz"),
          device.output<S>(all, "dx"),
          device.input(weight, "weight"),
          device.input(bias, "bias"),
          device.output<A>(groups, "mean"),
          device.output<A>(groups, "rstd"),
          device.output<A>(width, "dweight"),
          device.output<A>(width, "dbias"),
          device.output<A>(2 * graphs * width + 2 * graphs, "scratch"),
          device.buffer(std::vector<A>(width, A(0.5)), "running_mean"),
          device.buffer(std::vector<A>(width, A(2)), "running_var"),
          device.input(start, "start"),
          device.output<unsigned char>(
              segment_workspace(static_cast<std::int64_t>(std::max(rows, graphs)),
                                static_cast<std::int64_t>(width)),
              "workspace")};
}

template <class S>
Norm<S> Case<S>::norm(const Buffers& b) const {
  Norm<S> n;
  n.x = b.x.data();
  n.residual = options.residual ? b.residual.data() : nullptr;
  n.mask = mask;
  n.z = plain() ? nullptr : b.z.data();
  n.weight = b.weight.data();
  n.bias = b.bias.data();
  n.mean = b.mean.data();
  n.rstd = b.rstd.data();
  n.y = b.y.data();
  n.eps = kEps;
  return n;
}

template <class S>
NormGradient<S> Case<S>::gradient(const Buffers& b) const {
  NormGradient<S> n;
  n.g = b.g.data();
  n.z = plain() ? b.x.data() : b.z.data();
  n.weight = b.weight.data();
  n.mean = b.mean.data();
  n.rstd = b.rstd.data();
  n.dz = options.residual || mask.threshold == 0 ? b.dz.data() : nullptr;
  n.dx = mask.threshold != 0 ? b.dx.data() : nullptr;
  n.mask = mask;
  n.dweight = b.dweight.data();
  n.dbias = b.dbias.data();
  return n;
}

template <class S>
void Case<S>::forward(const Buffers& b, bool training) const {
  const auto n = static_cast<std::int64_t>(rows), d = static_cast<std::int64_t>(width);
  const Running<S> running{b.running_mean.data(), b.running_var.data(), 0.25};
  if (options.kind == Kind::kLayer) {
    layer_norm(n, d, norm(b), nullptr);
  } else if (options.kind == Kind::kGraph) {
    graph_norm(segments(b), norm(b), b.scratch.data(), b.workspace.data(), nullptr);
  } else if (training) {
    batch_norm(n, d, norm(b), running, b.workspace.data(), nullptr);
  } else {
    batch_norm_inference(n, d, norm(b), running, nullptr);
  }
}

template <class S>
void Case<S>::backward(const Buffers& b, bool training) const {
  const auto n = static_cast<std::int64_t>(rows), d = static_cast<std::int64_t>(width);
  if (options.kind == Kind::kLayer) {
    layer_norm_backward(n, d, gradient(b), b.workspace.data(), nullptr);
  } else if (options.kind == Kind::kGraph) {
    graph_norm_backward(segments(b), gradient(b), b.scratch.data(), b.workspace.data(), nullptr);
  } else {
    batch_norm_backward(n, d, gradient(b), training, b.workspace.data(), nullptr);
  }
}

template <class S>
void Case<S>::expect_backward(const Buffers& b, const Doubles& z, const Statistics& s,
                              bool training) const {
  const Doubles gs = widen(g);
  Doubles m1(groups), m2(groups), dweight(width), dbias(width), dz(z.size()), dx(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::size_t c = i % width, k = group(i / width, c);
    const double xhat = (z[i] - s.mean[k]) / std::sqrt(s.var[k] + kEps);
    m1[k] += weight[c] * gs[i] / s.count[k];
    m2[k] += weight[c] * gs[i] * xhat / s.count[k];
    dweight[c] += gs[i] * xhat;
    dbias[c] += gs[i];
  }
  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::size_t c = i % width, k = group(i / width, c);
    const double rstd = 1 / std::sqrt(s.var[k] + kEps), xhat = (z[i] - s.mean[k]) * rstd;
    dz[i] = rstd * (weight[c] * gs[i] - (training ? m1[k] + xhat * m2[k] : 0));
    dx[i] = dz[i] * keep_factor(mask.threshold, mask.keep_scale, mask.key, i / width, c);
  }
  const double slack = 50;
  if (options.residual || mask.threshold == 0) expect_close(b.dz.read(), dz, "dz", slack);
  if (mask.threshold != 0) expect_close(b.dx.read(), dx, "dx", slack);
  expect_close(b.dweight.read(), dweight, "dweight", slack);
  expect_close(b.dbias.read(), dbias, "dbias", slack);
}

template <class S>
void Case<S>::run(simt::Device& device) const {
  const Buffers b = buffers(device);
  forward(b, true);
  const Doubles z = input();
  if (!plain()) expect_close(b.z.read(), z, "z", 2);
  const Statistics s = statistics(z);
  Doubles y(z.size()), rstd(groups), running_mean(width, 0.5), running_var(width, 2);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t c = i % width, k = group(i / width, c);
    y[i] = (z[i] - s.mean[k]) / std::sqrt(s.var[k] + kEps) * weight[c] + bias[c];
  }
  for (std::size_t k = 0; k < groups; ++k) rstd[k] = 1 / std::sqrt(s.var[k] + kEps);
  const double slack = options.offset == 0 ? 10 : 400;
  expect_close(b.y.read(), y, "y", slack);
  expect_close(b.mean.read(), s.mean, "mean", slack);
  expect_close(b.rstd.read(), rstd, "rstd", slack);
  if (options.kind == Kind::kBatch) {
    const double n = static_cast<double>(rows);
    for (std::size_t c = 0; c < width; ++c) {
      running_mean[c] += 0.25 * (s.mean[c] - running_mean[c]);
      running_var[c] += 0.25 * ((n > 1 ? s.var[c] * n / (n - 1) : 0) - running_var[c]);
    }
    expect_close(b.running_mean.read(), running_mean, "running_mean", slack);
    expect_close(b.running_var.read(), running_var, "running_var", slack);
  }
  backward(b, true);
  if (options.offset == 0) expect_backward(b, z, s, true);
}

template <class S>
void Case<S>::run_inference(simt::Device& device) const {
  const Buffers b = buffers(device);
  forward(b, false);
  const Doubles z = input();
  const Statistics s{Doubles(width, 0.5), Doubles(width, 2), Doubles(width, 1)};
  Doubles y(z.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = (z[i] - 0.5) / std::sqrt(2 + kEps) * weight[i % width] + bias[i % width];
  }
  expect_close(b.y.read(), y, "y", 4);
  backward(b, false);
  expect_backward(b, z, s, false);
}

}  // namespace gtrain::ops::cuda
