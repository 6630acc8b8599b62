#include "ops/cuda/edge_attention.h"

#include <gtest/gtest.h>

#include <tuple>

#include "cuda/far_case.h"
#include "cuda/sparse_case.h"
#include "support/simt/schedule.h"

namespace gtrain::ops::cuda::test {
namespace {

struct Case {
  Pairs pairs;
  int heads = 1, width = 4;
  bool edge = true, w = true;
  double clamp = 1.5, epsilon = 1e-6;
  Index cut = 8;    // of the work lists; 0: none
  Layout layout{};  // its size follows
};

struct Inputs {
  Numbers q, k, v, edge, dout, dw;
};

struct Results {
  Numbers out, w, dq, dk, dv, dedge;
};

template <class S>
Inputs inputs_of(const Case& c) {
  const Index size = c.heads * c.width, edges = c.edge ? c.pairs.count() * size : 0;
  Inputs x{uniform(1, c.pairs.rows * size, -3, 3), uniform(2, c.pairs.columns * size, -3, 3),
           uniform(3, c.pairs.columns * size),     uniform(4, edges, -2, 2),
           uniform(5, c.pairs.rows * size),        uniform(6, c.w ? c.pairs.count() * size : 0)};
  for (Numbers* n : {&x.q, &x.k, &x.v, &x.edge, &x.dout, &x.dw}) *n = rounded<S>(*n);
  return x;
}

double scale_of(const Case& c) { return 0.4 / std::sqrt(static_cast<double>(c.width)); }

// The definition, row by row and head by head.
struct Reference {
  const Case& c;
  const Inputs& x;
  Results r;
  Index size;

  Reference(const Case& problem, const Inputs& inputs) : c(problem), x(inputs) {
    size = c.heads * c.width;
    r.out.assign(x.q.size(), 0);
    r.dq = r.out;
    r.dk.assign(x.k.size(), 0);
    r.dv = r.dk;
    r.w.assign(static_cast<std::size_t>(c.w ? c.pairs.count() * size : 0), 0);
    r.dedge.assign(x.edge.size(), 0);
    for (Index i = 0; i < c.pairs.rows; ++i) {
      for (int h = 0; h < c.heads; ++h) row(i, h);
    }
  }

  Index at(Index row, int h, int t) const { return row * size + h * c.width + t; }
  double edge(Index p, int h, int t) const { return c.edge ? x.edge[at(p, h, t)] : 1; }
  double product(Index i, Index p, int h, int t) const {
    return scale_of(c) * x.q[at(i, h, t)] * x.k[at(c.pairs.column[p], h, t)] * edge(p, h, t);
  }
  double sum(Index i, Index p, int h) const {
    double s = 0;
    for (int t = 0; t < c.width; ++t) s += product(i, p, h, t);
    return s;
  }
  double weight(Index i, Index p, int h) const {
    return std::exp(std::clamp(sum(i, p, h), -c.clamp, c.clamp));
  }

  void row(Index i, int h) {
    const Index begin = c.pairs.row_start[i], end = c.pairs.row_start[i + 1];
    double total = c.epsilon, delta = 0;
    for (Index p = begin; p < end; ++p) total += weight(i, p, h);
    for (Index p = begin; p < end; ++p) {
      for (int t = 0; t < c.width; ++t) {
        r.out[at(i, h, t)] += weight(i, p, h) / total * x.v[at(c.pairs.column[p], h, t)];
        if (c.w) r.w[at(p, h, t)] = product(i, p, h, t);
      }
    }
    for (int t = 0; t < c.width; ++t) delta += r.out[at(i, h, t)] * x.dout[at(i, h, t)];
    for (Index p = begin; p < end; ++p) pair(i, p, h, total, delta);
  }

  void pair(Index i, Index p, int h, double total, double delta) {
    const Index j = c.pairs.column[p];
    const double share = weight(i, p, h) / total;
    double dweight = 0;
    for (int t = 0; t < c.width; ++t) dweight += x.dout[at(i, h, t)] * x.v[at(j, h, t)];
    const double ds = std::abs(sum(i, p, h)) <= c.clamp ? share * (dweight - delta) : 0;
    for (int t = 0; t < c.width; ++t) {
      const double dproduct = scale_of(c) * (ds + (c.w ? x.dw[at(p, h, t)] : 0));
      const double q = x.q[at(i, h, t)], k = x.k[at(j, h, t)];
      r.dq[at(i, h, t)] += dproduct * k * edge(p, h, t);
      r.dk[at(j, h, t)] += dproduct * q * edge(p, h, t);
      if (c.edge) r.dedge[at(p, h, t)] = dproduct * q * k;
      r.dv[at(j, h, t)] += share * x.dout[at(i, h, t)];
    }
  }
};

template <class S>
struct Call {
  const Case& c;
  Layout layout;
  Projections<S> p;
  Matrix<S> edge, dout, dw, out, w, dedge;
  DeviceWork<S> rows, columns;
  simt::Buffer<compute_t<S>> inverse, delta;
  simt::Buffer<std::int32_t> column, row;
  simt::Buffer<Index> pair;
  EdgeAttention<S> a;
  EdgeAttentionGradient<S> g;

  Call(simt::Device& on, const Case& problem, const Inputs& x)
      : c(problem),
        layout{c.heads * c.width, c.layout.packed, c.layout.shifted, c.layout.gapped},
        p(on, layout, x.q, x.k, x.v),
        edge(input_matrix<S>(on, layout, x.edge, "edge")),
        dout(input_matrix<S>(on, layout, x.dout, "dout")),
        dw(input_matrix<S>(on, layout, x.dw, "dw")),
        out(output_matrix<S>(on, layout, c.pairs.rows, "out")),
        w(output_matrix<S>(on, layout, c.w ? c.pairs.count() : 0, "w")),
        dedge(output_matrix<S>(on, layout, edge.rows, "dedge")),
        rows(on, c.pairs.row_start, c.cut, layout.size + c.heads),
        columns(on, c.pairs.column_start, c.cut, 2 * layout.size),
        column(on.input(c.pairs.column, "column")),
        row(on.input(c.pairs.row, "row")),
        pair(on.input(c.pairs.pair, "pair")) {
    const auto statistics = static_cast<std::size_t>(c.pairs.rows * c.heads);
    inverse = on.output<compute_t<S>>(statistics, "inverse");
    delta = on.output<compute_t<S>>(statistics, "delta");
    p.assign(a, g);
    a.heads = c.heads;
    a.width = c.width;
    if (c.edge) a.edge = edge.data;
    a.column = column.data();
    a.scale = static_cast<compute_t<S>>(scale_of(c));
    a.clamp = static_cast<compute_t<S>>(c.clamp);
    a.epsilon = static_cast<compute_t<S>>(c.epsilon);
    a.out = out.data;
    if (c.w) a.w = w.data;
    a.inverse = inverse.data();
    a.row_work = rows.work;
    g.dout = dout.data;
    if (c.w) g.dw = dw.data;
    g.delta = delta.data();
    if (c.edge) g.dedge = dedge.data;
    g.row = row.data();
    g.pair = pair.data();
    g.column_work = columns.work;
  }

  Results results() {
    edge_attention_forward(a, nullptr);
    edge_attention_backward(a, g, nullptr);
    inverse.read();
    return {out.read(), w.read(), p.dq.read(), p.dk.read(), p.dv.read(), dedge.read()};
  }
};

template <class S>
void expect_law(const Case& c, int schedules = 2) {
  const Inputs x = inputs_of<S>(c);
  const Results wanted = Reference(c, x).r;
  Results first;
  simt::for_each_schedule(schedules, [&](simt::Device& device) {
    const Results found = Call<S>(device, c, x).results();
    if (device.seed() == 0) first = found;
    const std::pair<const char*, Numbers Results::*> fields[] = {
        {"out", &Results::out}, {"w", &Results::w},   {"dq", &Results::dq},
        {"dk", &Results::dk},   {"dv", &Results::dv}, {"dedge", &Results::dedge}};
    for (const auto& [name, field] : fields) {
      expect_near<S>(found.*field, wanted.*field, name);
      EXPECT_EQ(found.*field, first.*field) << name;
    }
  });
}

Case with(const Pairs& pairs, int heads, int width, Index cut = 8) {
  Case c;
  c.pairs = pairs;
  c.heads = heads;
  c.width = width;
  c.cut = cut;
  return c;
}

Pairs some_pairs() { return random_pairs(11, 9, 7, 12); }

TEST(EdgeAttention, EqualsTheDefinitionForEveryShapeOfLanes) {
  const int shapes[][2] = {{1, 8},   {8, 8}, {3, 16}, {1, 24}, {2, 64}, {1, 80}, {1, 128},
                           {1, 144}, {5, 4}, {8, 10}, {2, 13}, {1, 33}, {40, 1}};
  for (const auto& s : shapes) {
    SCOPED_TRACE(testing::Message() << s[0] << " heads of " << s[1]);
    expect_law<float>(with(some_pairs(), s[0], s[1]), 1);
  }
}

TEST(EdgeAttention, EqualsTheDefinitionInEveryStorage) {
  for (const auto& s : {std::pair{8, 8}, {2, 24}, {1, 13}, {1, 264}}) {
    SCOPED_TRACE(testing::Message() << s.first << " heads of " << s.second);
    Case c = with(some_pairs(), s.first, s.second);
    if (s.second <= 256) expect_law<double>(c, 1);
    c.clamp = 50;  // where rounding decides who is clamped, nothing is near
    expect_law<bf16>(c, 1);
    expect_law<f16>(c, 1);
  }
}

TEST(EdgeAttention, KeepsToItsThreeForms) {
  for (int form = 0; form < 8; ++form) {
    SCOPED_TRACE(form);
    Case c = with(some_pairs(), 2, 8);
    c.edge = form & 1;
    c.w = form & 2;
    c.epsilon = form & 4 ? 0 : 0.5;
    expect_law<float>(c, 1);
    c.width = 5;
    expect_law<float>(c, 1);
  }
}

TEST(EdgeAttention, MergesAHubFromItsParts) {
  expect_law<float>(with(hub_pairs(12, 70), 3, 8, 16));
  expect_law<float>(with(hub_pairs(5, 520), 1, 4, 256), 1);
  expect_law<double>(with(hub_pairs(12, 70), 2, 5, 7), 1);
  expect_law<float>(with(hub_pairs(4, 9), 3, 48, 4), 1);  // more channels than a block has threads
}

TEST(EdgeAttention, NeedsNoWorkList) {
  expect_law<float>(with(hub_pairs(12, 70), 3, 8, 0));
  expect_law<float>(with(random_pairs(3, 9, 7, 5), 2, 13, 0), 1);
}

TEST(EdgeAttention, TakesASingleNode) {
  for (const Index cut : {0, 8}) expect_law<float>(with(pairs_of({{0}}, 1), 2, 8, cut), 1);
}

TEST(EdgeAttention, GivesZerosToRowsWithoutPairs) {
  for (const double epsilon : {0.0, 1e-6}) {
    for (const Pairs& pairs : {pairs_of({{}, {}, {}, {}, {}}, 3), pairs_of({{}, {1}, {}}, 2),
                               pairs_of({}, 3), pairs_of({}, 0)}) {
      Case c = with(pairs, 2, 8);
      c.epsilon = epsilon;
      expect_law<float>(c, 1);
    }
  }
}

TEST(EdgeAttention, TakesTensorsThatAreNotAligned) {
  Case c = with(some_pairs(), 2, 8);
  for (const char* name :
       {"q", "k", "v", "edge", "out", "w", "dout", "dw", "dq", "dk", "dv", "dedge"}) {
    SCOPED_TRACE(name);
    c.layout.shifted = name;
    expect_law<float>(c, 1);
  }
  c.layout.shifted = "";
  for (const char* name : {"q", "k", "v", "dq", "dk", "dv"}) {
    SCOPED_TRACE(name);
    c.layout.gapped = name;
    expect_law<float>(c, 1);
  }
  c.layout.gapped = "";
  c.pairs = random_pairs(4, 9, 9, 6);
  c.layout.packed = true;
  expect_law<float>(c, 1);
}

TEST(EdgeAttention, AddressesMoreElementsThan32BitsCount) {
  const Case c = with(some_pairs(), 3, 16, 4);
  const Inputs x = inputs_of<float>(c);
  const Results wanted = Reference(c, x).r;
  simt::Device device;
  Call<float> call(device, c, x);
  const Far far(device, c.pairs, c.cut);
  far.assign(call.a, call.g);
  const Index edges = Far::kPairs * c.heads * c.width;
  call.a.inverse -= Far::kRows * c.heads;
  call.a.edge -= edges;
  call.a.w -= edges;
  call.g.dw -= edges;
  call.g.dedge -= edges;
  const Results found = call.results();
  expect_near<float>(found.out, wanted.out, "out");
  expect_near<float>(found.w, wanted.w, "w");
  expect_near<float>(found.dq, wanted.dq, "dq");
  expect_near<float>(found.dk, wanted.dk, "dk");
  expect_near<float>(found.dv, wanted.dv, "dv");
  expect_near<float>(found.dedge, wanted.dedge, "dedge");
  EXPECT_EQ(device.report(), "");
}

TEST(EdgeAttention, LetsTheGradientThroughAtTheBound) {
  Case c = with(pairs_of({{0, 1, 2}}, 3), 1, 4);
  c.w = false;
  c.clamp = 2;
  Inputs x = inputs_of<float>(c);
  x.q = {1, 1, 1, 1};
  x.k = {2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 3};
  x.edge = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1};
  simt::Device device;
  Call<float> call(device, c, x);
  call.a.scale = 0.2f;  // scores 2, -2 and, beyond the bound, 2.1
  const Results r = call.results();
  EXPECT_GT(std::abs(r.dedge[0]), 1e-3);
  EXPECT_GT(std::abs(r.dk[0]), 1e-3);
  EXPECT_GT(std::abs(r.dedge[4]), 1e-3);
  EXPECT_GT(std::abs(r.dk[4]), 1e-3);
  EXPECT_EQ(r.dedge[8], 0);
  EXPECT_EQ(r.dk[8], 0);
  EXPECT_EQ(device.report(), "");
}

TEST(EdgeAttention, PassesNanOn) {
  Case c = with(pairs_of({{0, 1}}, 2), 1, 4);
  Inputs x = inputs_of<float>(c);
  x.q[0] = std::nan("");
  simt::Device device;
  const Results r = Call<float>(device, c, x).results();
  EXPECT_TRUE(std::isnan(r.out[1]) && std::isnan(r.w[0]) && std::isnan(r.dk[1]));
}

// And 16 bytes a lane: a row of 64 channels is one request of half a warp.
TEST(EdgeAttention, ReadsWholeSectors) {
  const Case c = with(some_pairs(), 8, 8, 0);
  const Inputs x = inputs_of<float>(c);
  simt::DeviceOptions options;
  options.measure = true;
  simt::Device device(0, options);
  Call<float> call(device, c, x);
  call.results();
  for (const auto* m : {&call.p.q, &call.p.k, &call.p.v, &call.edge, &call.dw, &call.dout}) {
    EXPECT_EQ(device.loads(m->buffer).ratio(), 1);
  }
  for (const auto* m : {&call.p.dq, &call.p.dk, &call.p.dv, &call.out}) {
    EXPECT_EQ(device.stores(m->buffer).ratio(), 1);
    EXPECT_EQ(device.stores(m->buffer).requests, static_cast<std::uint64_t>(m->rows));
  }
  for (const auto* m : {&call.w, &call.dedge}) {
    EXPECT_EQ(device.stores(m->buffer).ratio(), 1);
    EXPECT_LT(device.stores(m->buffer).requests, static_cast<std::uint64_t>(m->rows));
  }
}

TEST(EdgeAttention, LaunchesAWarpForEachItemAndItsHeads) {
  for (const auto& [heads, width, y] :
       {std::tuple{8, 16, 1u}, {2, 64, 1u}, {1, 128, 1u}, {9, 16, 2u}, {4, 64, 2u}}) {
    const Case c = with(some_pairs(), heads, width, 0);
    const Inputs x = inputs_of<float>(c);
    simt::Device device;
    Call<float>(device, c, x).results();
    const simt::Launch by_row{3, y, 1, 128, 0}, by_column{2, y, 1, 128, 0};
    EXPECT_EQ(device.launches(), (std::vector<simt::Launch>{by_row, by_row, by_column}));
  }
  const Case c = with(some_pairs(), 2, 8, 4);
  const Inputs x = inputs_of<float>(c);
  simt::Device device;
  Call<float>(device, c, x).results();
  ASSERT_EQ(device.launches().size(), 7u);  // a block for each row that is cut
  EXPECT_EQ(device.launches()[1], (simt::Launch{rows_cut(c.pairs.row_start, 4), 1, 1, 128, 0}));
}

TEST(EdgeAttention, KeepsZeroForTheInverseOfAnEmptySum) {
  Case c = with(pairs_of({{}, {0}}, 1), 2, 8);
  c.epsilon = 0;
  const Inputs x = inputs_of<float>(c);
  simt::Device device;
  Call<float> call(device, c, x);
  edge_attention_forward(call.a, nullptr);
  const std::vector<float> inverse = call.inverse.read();
  EXPECT_EQ(inverse[0], 0);
  EXPECT_EQ(inverse[1], 0);
  EXPECT_GT(inverse[2], 0);
}

TEST(EdgeAttention, IsTheSameUnderFiftySchedules) {
  expect_law<float>(with(some_pairs(), 3, 16), 50);
}

TEST(EdgeAttention, StatesWhichWidthsItTakes) {
  EdgeAttention<float> a;
  for (const auto& [width, taken] : {std::pair{0, false}, {1, true}, {512, true}, {513, false}}) {
    a.width = width;
    EXPECT_EQ(edge_attention_takes(a), taken) << width;
  }
  a.width = 4;
  a.heads = 0;
  EXPECT_FALSE(edge_attention_takes(a));
}

TEST(EdgeAttention, TakesTheWidestHeadsOfEitherAlignment) {
  Case c = with(random_pairs(8, 5, 4, 3), 1, 512);
  c.clamp = 50;
  expect_law<float>(c, 1);
  c.layout.shifted = "dout";  // aligned forward, not so backward
  expect_law<float>(c, 1);
  c.width = 255;
  expect_law<double>(c, 1);
}

}  // namespace
}  // namespace gtrain::ops::cuda::test
