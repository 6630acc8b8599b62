#include "ops/cuda/message.h"

#include <gtest/gtest.h>

#include <tuple>

#include "cuda/sparse_case.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda::test {
namespace {

// Rows of the pairs are targets, so pair k is edge k.
struct Case {
  Pairs pairs;
  Index width = 8;
  Index cut = 5;        // of the work lists; 0: none
  std::string shifted;  // the tensor that is not aligned
};

struct Edges {
  std::vector<Index> source, target;

  explicit Edges(const Pairs& p) : source(p.column.begin(), p.column.end()) {
    target.resize(source.size());
    for (std::size_t s = 0; s < p.row.size(); ++s) target[p.pair[s]] = p.row[s];
  }
};

template <class S>
struct DeviceEdges {
  simt::Buffer<Index> source, target, out_edge;
  DeviceWork<S> in, out;
  MessageEdges edges;

  DeviceEdges(simt::Device& device, const Case& c, const Edges& e, Index sums)
      : source(device.input(e.source, "source")),
        target(device.input(e.target, "target")),
        out_edge(device.input(c.pairs.pair, "out_edge")),
        in(device, c.pairs.row_start, c.cut, sums * c.width),
        out(device, c.pairs.column_start, c.cut, sums * c.width) {
    edges.source = source.data();
    edges.target = target.data();
    edges.out_edge = out_edge.data();
    edges.count = c.pairs.count();
    edges.in = in.work;
    edges.out = out.work;
  }
};

// A tensor of S (or of accumulators) that may start one element late.
template <class S>
struct Tensor {
  simt::Buffer<S> buffer;
  std::size_t skip = 0;

  Tensor(simt::Device& device, const Case& c, const std::string& name, const Numbers& values)
      : skip(c.shifted == name ? 1 : 0) {
    Numbers all(skip, 0);
    all.insert(all.end(), values.begin(), values.end());
    buffer = device.input(stored<S>(all), name);
  }
  Tensor(simt::Device& device, const Case& c, const std::string& name, Index count)
      : skip(c.shifted == name ? 1 : 0) {
    buffer = device.output<S>(static_cast<std::size_t>(count) + skip, name);
  }
  S* data() const { return buffer.data() + skip; }
  Numbers read() const {
    const std::vector<S> all = skip == 0 ? buffer.read() : buffer.read_any();
    return numbers(std::vector<S>(all.begin() + static_cast<std::ptrdiff_t>(skip), all.end()));
  }
};

struct Expected {
  std::vector<std::pair<std::string, Numbers>> values;
};

template <class S>
void expect_all(const std::vector<Numbers>& found, const Expected& wanted) {
  ASSERT_EQ(found.size(), wanted.values.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    expect_near<S>(found[i], wanted.values[i].second, wanted.values[i].first);
  }
}

struct GineInputs {
  Numbers x, edge, dout;
};

Expected gine_reference(const Case& c, const GineInputs& in) {
  const Edges e(c.pairs);
  Numbers out = in.x, dx = in.dout, dedge(in.edge.size());
  for (std::size_t k = 0; k < e.source.size(); ++k) {
    for (Index t = 0; t < c.width; ++t) {
      const auto source = e.source[k] * c.width + t, target = e.target[k] * c.width + t;
      const auto at = static_cast<Index>(k) * c.width + t;
      const double z = in.x[source] + in.edge[at];
      out[target] += std::max(z, 0.0);
      dedge[at] = z > 0 ? in.dout[target] : 0;
      dx[source] += dedge[at];
    }
  }
  return {{{"out", out}, {"dx", dx}, {"dedge", dedge}}};
}

template <class S>
std::vector<Numbers> run_gine(simt::Device& device, const Case& c, const GineInputs& in) {
  const Index size = c.pairs.rows * c.width;
  const DeviceEdges<S> edges(device, c, Edges(c.pairs), 1);
  const Tensor<S> x(device, c, "x", in.x), edge(device, c, "edge", in.edge);
  const Tensor<S> dout(device, c, "dout", in.dout), out(device, c, "out", size);
  const Tensor<S> dx(device, c, "dx", size), dedge(device, c, "dedge", c.pairs.count() * c.width);
  Gine<S> a;
  a.edges = edges.edges;
  a.width = static_cast<int>(c.width);
  a.x = x.data();
  a.edge = edge.data();
  a.out = out.data();
  a.dout = dout.data();
  a.dx = dx.data();
  a.dedge = dedge.data();
  gine_forward(a, nullptr);
  gine_backward(a, nullptr);
  return {out.read(), dx.read(), dedge.read()};
}

template <class S>
void expect_gine(const Case& c, int schedules = 1) {
  GineInputs in{uniform(1, c.pairs.rows * c.width), uniform(2, c.pairs.count() * c.width),
                uniform(3, c.pairs.rows * c.width)};
  for (Numbers* n : {&in.x, &in.edge, &in.dout}) *n = rounded<S>(*n);
  // x + e = 0 exactly: no gradient.
  if (!in.edge.empty()) in.edge[0] = -in.x[c.pairs.column[0] * c.width];
  const Expected wanted = gine_reference(c, in);
  simt::for_each_schedule(
      schedules, [&](simt::Device& device) { expect_all<S>(run_gine<S>(device, c, in), wanted); });
}

struct GatedInputs {
  Numbers abde, c, dh, dehat;
  bool edge_gradient = true;
};

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

template <class S>
Expected gated_reference(const Case& c, const GatedInputs& in) {
  const Edges e(c.pairs);
  const Index d = c.width, edges = c.pairs.count();
  const auto part = [&](Index i, int which, Index t) { return (4 * i + which) * d + t; };
  Numbers h(in.dh.size()), ehat(in.c.size()), num(h.size()), den(h.size(), 1e-6);
  Numbers dabde(in.abde.size()), dc(in.c.size());
  for (Index k = 0; k < edges; ++k) {
    for (Index t = 0; t < d; ++t) {
      const Index i = e.target[k], j = e.source[k], at = k * d + t;
      ehat[at] = in.abde[part(i, 2, t)] + in.abde[part(j, 3, t)] + in.c[at];
      const double gate = sigmoid(rounded<S>({ehat[at]})[0]);
      num[i * d + t] += gate * in.abde[part(j, 1, t)];
      den[i * d + t] += gate;
    }
  }
  for (Index i = 0; i < c.pairs.rows; ++i) {
    for (Index t = 0; t < d; ++t) {
      h[i * d + t] = in.abde[part(i, 0, t)] + num[i * d + t] / den[i * d + t];
      dabde[part(i, 0, t)] = in.dh[i * d + t];
    }
  }
  for (Index k = 0; k < edges; ++k) {
    for (Index t = 0; t < d; ++t) {
      const Index i = e.target[k], j = e.source[k], at = k * d + t, row = i * d + t;
      const double gate = sigmoid(rounded<S>({ehat[at]})[0]), share = in.dh[row] / den[row];
      dc[at] = share * (in.abde[part(j, 1, t)] - num[row] / den[row]) * gate * (1 - gate);
      if (in.edge_gradient) dc[at] += in.dehat[at];
      dabde[part(i, 2, t)] += dc[at];
      dabde[part(j, 1, t)] += share * gate;
      dabde[part(j, 3, t)] += dc[at];
    }
  }
  return {{{"h", h}, {"ehat", ehat}, {"dabde", dabde}, {"dc", dc}}};
}

template <class S>
std::vector<Numbers> run_gated(simt::Device& device, const Case& c, const GatedInputs& in) {
  using A = compute_t<S>;
  const Index size = c.pairs.rows * c.width, edge_size = c.pairs.count() * c.width;
  const DeviceEdges<S> edges(device, c, Edges(c.pairs), 2);
  const Tensor<S> abde(device, c, "abde", in.abde), cs(device, c, "c", in.c);
  const Tensor<S> dh(device, c, "dh", in.dh), dehat(device, c, "dehat_in", in.dehat);
  const Tensor<S> h(device, c, "h", size), ehat(device, c, "ehat", edge_size);
  const Tensor<S> dabde(device, c, "dabde", 4 * size), dc(device, c, "dc", edge_size);
  const Tensor<A> denominator(device, c, "denominator", size), mean(device, c, "mean", size);
  GatedGcn<S> a;
  a.edges = edges.edges;
  a.width = static_cast<int>(c.width);
  a.abde = abde.data();
  a.c = cs.data();
  a.h = h.data();
  a.ehat = ehat.data();
  a.denominator = denominator.data();
  a.mean = mean.data();
  a.dh = dh.data();
  a.dehat_in = in.edge_gradient ? dehat.data() : nullptr;
  a.dabde = dabde.data();
  a.dc = dc.data();
  gated_gcn_forward(a, nullptr);
  gated_gcn_backward(a, nullptr);
  return {h.read(), ehat.read(), dabde.read(), dc.read()};
}

template <class S>
void expect_gated(const Case& c, int schedules = 1, bool edge_gradient = true) {
  const Index size = c.pairs.rows * c.width, edge_size = c.pairs.count() * c.width;
  GatedInputs in{uniform(1, 4 * size, -2, 2), uniform(2, edge_size), uniform(3, size),
                 uniform(4, edge_size), edge_gradient};
  for (Numbers* n : {&in.abde, &in.c, &in.dh, &in.dehat}) *n = rounded<S>(*n);
  const Expected wanted = gated_reference<S>(c, in);
  simt::for_each_schedule(
      schedules, [&](simt::Device& device) { expect_all<S>(run_gated<S>(device, c, in), wanted); });
}

struct WeightedInputs {
  Numbers x, self, weight;
  bool has_self = true;
};

Expected weighted_reference(const Case& c, const WeightedInputs& in) {
  const Edges e(c.pairs);
  Numbers out(in.x.size()), dx(in.x.size());
  for (std::size_t at = 0; in.has_self && at < in.x.size(); ++at) {
    out[at] = dx[at] = in.self[at / static_cast<std::size_t>(c.width)] * in.x[at];
  }
  for (std::size_t k = 0; k < e.source.size(); ++k) {
    for (Index t = 0; t < c.width; ++t) {
      out[e.target[k] * c.width + t] += in.weight[k] * in.x[e.source[k] * c.width + t];
      dx[e.source[k] * c.width + t] += in.weight[k] * in.x[e.target[k] * c.width + t];
    }
  }
  return {{{"out", out}, {"dx", dx}}};
}

template <class S>
std::vector<Numbers> run_weighted(simt::Device& device, const Case& c, const WeightedInputs& in) {
  const Index size = c.pairs.rows * c.width;
  const DeviceEdges<S> edges(device, c, Edges(c.pairs), 1);
  const Tensor<S> x(device, c, "x", in.x), self(device, c, "self", in.self);
  const Tensor<S> weight(device, c, "weight", in.weight), out(device, c, "out", size);
  const Tensor<S> dx(device, c, "dx", size);
  WeightedAggregate<S> a;
  a.work = edges.edges.in;
  a.other = edges.edges.source;
  a.width = static_cast<int>(c.width);
  a.x = x.data();
  a.self = in.has_self ? self.data() : nullptr;
  a.weight = weight.data();
  a.out = out.data();
  weighted_aggregate(a, nullptr);
  a.work = edges.edges.out;
  a.other = edges.edges.target;
  a.edge = edges.edges.out_edge;
  a.out = dx.data();
  weighted_aggregate(a, nullptr);
  return {out.read(), dx.read()};
}

template <class S>
void expect_weighted(const Case& c, int schedules = 1, bool has_self = true) {
  WeightedInputs in{uniform(1, c.pairs.rows * c.width), uniform(2, c.pairs.rows),
                    uniform(3, c.pairs.count()), has_self};
  for (Numbers* n : {&in.x, &in.self, &in.weight}) *n = rounded<S>(*n);
  const Expected wanted = weighted_reference(c, in);
  simt::for_each_schedule(schedules, [&](simt::Device& device) {
    expect_all<S>(run_weighted<S>(device, c, in), wanted);
  });
}

template <class S>
void expect_messages(const Case& c) {
  expect_gine<S>(c);
  expect_gated<S>(c);
  expect_weighted<S>(c);
}

Case case_of(const Pairs& pairs, Index width, Index cut = 5) { return {pairs, width, cut, ""}; }

Pairs square_pairs() { return random_pairs(21, 9, 9, 11); }

TEST(MessageKernels, EqualTheDefinitionForEveryWidth) {
  for (const int width : {1, 4, 8, 13, 24, 52, 64, 80, 128, 132, 260}) {
    SCOPED_TRACE(width);
    expect_messages<float>(case_of(square_pairs(), width));
  }
}

TEST(MessageKernels, EqualTheDefinitionInEveryStorage) {
  for (const int width : {7, 8, 80}) {
    SCOPED_TRACE(width);
    expect_messages<double>(case_of(square_pairs(), width));
    expect_messages<bf16>(case_of(square_pairs(), width));
    expect_messages<f16>(case_of(square_pairs(), width));
  }
}

TEST(MessageKernels, MergeAHubFromItsParts) {
  expect_messages<float>(case_of(hub_pairs(12, 70), 12, 16));
  expect_messages<float>(case_of(hub_pairs(5, 520), 4, 256));
  expect_messages<double>(case_of(hub_pairs(12, 70), 5, 7));
  expect_messages<float>(
      case_of(hub_pairs(4, 9), 150, 4));  // more channels than a block has threads
}

TEST(MessageKernels, NeedNoWorkList) {
  expect_messages<float>(case_of(hub_pairs(12, 70), 12, 0));
  expect_messages<float>(case_of(square_pairs(), 7, 0));
}

TEST(MessageKernels, KeepNodesWithoutEdges) {
  expect_messages<float>(case_of(pairs_of({{}, {}, {}}, 3), 8));
  expect_messages<float>(case_of(pairs_of({{}}, 1), 3, 0));
  expect_messages<float>(case_of(pairs_of({}, 0), 8));
  expect_messages<float>(case_of(pairs_of({{0}}, 1), 8));
}

TEST(MessageKernels, LaunchNothingForRowsWithoutChannels) {
  const Case c = case_of(square_pairs(), 0);
  expect_messages<float>(c);
  simt::Device device;
  run_gine<float>(device, c, {});
  EXPECT_TRUE(device.launches().empty());
}

// 2^32 + 1 blocks: one, by the last 32 bits.
TEST(MessageKernels, LaunchNoGridLargerThanADeviceTakes) {
  simt::Device device;
  const auto start = device.input(std::vector<Index>(5, 0), "start");
  const auto x = device.input(std::vector<float>(32, 1), "x");
  const auto out = device.output<float>(32, "out");
  WeightedAggregate<float> a;
  a.work.start = start.data();
  a.work.rows = ((Index{1} << 32) + 1) * 4;
  a.width = 8;
  a.x = x.data();
  a.out = out.data();
  weighted_aggregate(a, nullptr);
  ASSERT_EQ(device.findings().size(), 1u);
  EXPECT_EQ(device.findings()[0].kind, "launch");
}

TEST(MessageKernels, MayLackTheOptionalInputs) {
  expect_gated<float>(case_of(square_pairs(), 12), 1, false);
  expect_gated<bf16>(case_of(square_pairs(), 3), 1, false);
  expect_weighted<float>(case_of(square_pairs(), 12), 1, false);
}

TEST(MessageKernels, TakeTensorsThatAreNotAligned) {
  Case c = case_of(square_pairs(), 12);
  for (const char* name : {"x", "edge", "dout", "out", "dx", "dedge"}) {
    SCOPED_TRACE(c.shifted = name);
    expect_gine<float>(c);
  }
  for (const char* name :
       {"abde", "c", "dh", "dehat_in", "h", "ehat", "dabde", "dc", "denominator", "mean"}) {
    SCOPED_TRACE(c.shifted = name);
    expect_gated<float>(c);
  }
  for (const char* name : {"x", "out", "dx"}) {
    SCOPED_TRACE(c.shifted = name);
    expect_weighted<float>(c);
  }
}

// A quarter of the requests that single elements need, and no sector more than its bytes fill.
TEST(MessageKernels, LoadSixteenBytesALane) {
  const Case c = case_of(square_pairs(), 32);
  Case scalar = c;
  scalar.shifted = "x";
  const Index size = c.pairs.rows * c.width, edge_size = c.pairs.count() * c.width;
  const auto requests = [&](const Case& problem, auto run) {
    simt::DeviceOptions options;
    options.measure = true;
    simt::Device device(0, options);
    return run(device, problem);
  };
  const auto gine = [&](simt::Device& device, const Case& problem) {
    const Tensor<float> x(device, problem, "x", uniform(1, size));
    const Tensor<float> edge(device, problem, "edge", uniform(2, edge_size));
    const Tensor<float> out(device, problem, "out", size);
    const DeviceEdges<float> edges(device, problem, Edges(problem.pairs), 1);
    Gine<float> a;
    a.edges = edges.edges;
    a.width = 32;
    a.x = x.data();
    a.edge = edge.data();
    a.out = out.data();
    gine_forward(a, nullptr);
    EXPECT_EQ(device.loads(edge.buffer).ratio(), 1);
    return device.loads(x.buffer).requests;
  };
  const auto weighted = [&](simt::Device& device, const Case& problem) {
    const Tensor<float> x(device, problem, "x", uniform(1, size));
    const Tensor<float> weight(device, problem, "weight", uniform(2, problem.pairs.count()));
    const Tensor<float> out(device, problem, "out", size);
    const DeviceEdges<float> edges(device, problem, Edges(problem.pairs), 1);
    WeightedAggregate<float> a;
    a.work = edges.edges.in;
    a.other = edges.edges.source;
    a.width = 32;
    a.x = x.data();
    a.weight = weight.data();
    a.out = out.data();
    weighted_aggregate(a, nullptr);
    EXPECT_EQ(device.stores(out.buffer).ratio(), 1);
    return device.loads(x.buffer).requests;
  };
  EXPECT_LT(2 * requests(c, gine), requests(scalar, gine));
  EXPECT_LT(2 * requests(c, weighted), requests(scalar, weighted));
}

TEST(MessageKernels, LaunchAWarpForEachItemAndItsChannels) {
  for (const auto& [width, y, lanes] :
       {std::tuple{128, 1u, 32u}, {132, 2u, 32u}, {16, 1u, 4u}, {12, 1u, 4u}}) {
    const Case c = case_of(square_pairs(), width, 0);
    GineInputs in{uniform(1, c.pairs.rows * c.width), uniform(2, c.pairs.count() * c.width),
                  uniform(3, c.pairs.rows * c.width)};
    simt::Device device;
    run_gine<float>(device, c, in);
    const simt::Launch by_row{3, y, 1, 128, 0};
    const unsigned edges = 128 / lanes, count = static_cast<unsigned>(c.pairs.count());
    EXPECT_EQ(device.launches(), (std::vector<simt::Launch>{
                                     by_row, {(count + edges - 1) / edges, y, 1, 128, 0}, by_row}))
        << width;
  }
  Case c = case_of(square_pairs(), 8, 3);
  GineInputs in{uniform(1, c.pairs.rows * c.width), uniform(2, c.pairs.count() * c.width),
                uniform(3, c.pairs.rows * c.width)};
  simt::Device device;
  run_gine<float>(device, c, in);
  ASSERT_EQ(device.launches().size(), 5u);  // a block for each row that is cut
  EXPECT_EQ(device.launches()[1], (simt::Launch{rows_cut(c.pairs.row_start, 3), 1, 1, 128, 0}));
}

TEST(MessageKernels, AreTheSameUnderFiftySchedules) {
  const Case c = case_of(square_pairs(), 12, 3);
  expect_gine<float>(c, 50);
  expect_gated<float>(c, 50);
  expect_weighted<float>(c, 50);
}

}  // namespace
}  // namespace gtrain::ops::cuda::test
