#include "gtrain/encode/spectrum.h"

#include <gtest/gtest.h>

#include "encode/odd_dataset.h"
#include "gtrain/encode/canonical.h"
#include "gtrain/encode/laplacian.h"

namespace gtrain::encode {
namespace {

using support::OddGraph;

// `copies` disjoint copies of g: every eigenvalue repeats at least that often.
OddGraph repeated(const OddGraph& g, std::int64_t copies) {
  OddGraph out{g.name + " copies", g.nodes * copies, {}, {}};
  for (std::int64_t c = 0; c < copies; ++c) {
    for (std::size_t e = 0; e < g.source.size(); ++e) {
      out.arc(g.source[e] + c * g.nodes, g.target[e] + c * g.nodes);
    }
  }
  return out;
}

// A centre with stars around it: leaves of a star are twins, so eigenvalue 1 repeats many times.
OddGraph star_of_stars(std::int64_t stars, std::int64_t leaves) {
  OddGraph g{"star_of_stars", 1 + stars * (leaves + 1), {}, {}};
  for (std::int64_t s = 0; s < stars; ++s) {
    const std::int64_t hub = 1 + s * (leaves + 1);
    g.edge(0, hub);
    for (std::int64_t l = 1; l <= leaves; ++l) g.edge(hub, hub + l);
  }
  return g;
}

TEST(SparseSpectrum, AgreesWithTheDenseSolveIncludingRepeatedEigenvalues) {
  const std::vector<OddGraph> graphs{support::grid(15, 15),
                                     support::path(300),
                                     support::cycle(257),
                                     star_of_stars(8, 12),
                                     repeated(support::path(7), 40),
                                     support::random_graph(3, 200, 0.05),
                                     repeated(support::cycle(6), 30),
                                     support::star(151),
                                     support::edgeless(300)};
  for (const OddGraph& g : graphs) {
    for (const bool normalised : {false, true}) {
      SCOPED_TRACE(g.name + (normalised ? " sym" : " none"));
      const auto matrix = sparse_laplacian(LocalGraph(csr_of(g)), normalised);
      Spectrum sparse, dense;
      sparse_spectrum(matrix, 10, sparse);
      DenseSpectrum().solve(Eigen::MatrixXd(matrix), 10, dense);
      ASSERT_EQ(sparse.values.size(), dense.values.size());
      EXPECT_LT((sparse.values - dense.values).cwiseAbs().maxCoeff(), 1e-10);
      canonicalise(sparse.values, sparse.vectors);
      canonicalise(dense.values, dense.vectors);
      EXPECT_LT((sparse.vectors - dense.vectors).cwiseAbs().maxCoeff(), 1e-7);
    }
  }
}

TEST(SparseSpectrum, SmallGraphsFallBackToTheDenseSolve) {
  const auto matrix = sparse_laplacian(LocalGraph(csr_of(support::star(6))), false);
  Spectrum sparse;
  sparse_spectrum(matrix, 3, sparse);
  ASSERT_EQ(sparse.values.size(), 5);
  EXPECT_NEAR(sparse.values[4], 1.0, 1e-14);
}

TEST(DenseSpectrum, AnEmptyMatrixHasNoPairs) {
  Spectrum out;
  DenseSpectrum().solve(Eigen::MatrixXd(0, 0), 3, out);
  EXPECT_EQ(out.values.size(), 0);
}

}  // namespace
}  // namespace gtrain::encode
