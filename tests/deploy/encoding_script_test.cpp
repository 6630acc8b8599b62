#include "gtrain/deploy/encoding_script.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "deploy/script_case.h"
#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

torch::jit::Module scripted_encodings(const std::vector<encode::EncodingOptions>& options,
                                      const std::vector<std::string>& columns) {
  torch::jit::Module module("encodings");
  module.define(encoding_script(options, columns));
  return module;
}

std::vector<support::OddGraph> graphs() {
  auto out = support::odd_graphs();
  out.push_back(support::random_arcs(1, 12, 40));
  out.push_back(support::random_arcs(2, 12, 12));
  out.push_back(support::grid(5, 5));
  out.push_back(support::complete(5));
  out.push_back(support::star(12));
  for (std::uint64_t seed = 10; seed < 40; ++seed) {
    out.push_back(support::random_graph(seed, 4 + static_cast<std::int64_t>(seed % 9), 0.3));
  }
  return out;
}

// Largest difference between the scripted columns and those of encode::compute, for all the odd
// graphs in one batch. NaN has to stand in the same places.
double worst(const encode::EncodingOptions& options, const std::vector<std::string>& columns) {
  const data::Dataset dataset = categorical_dataset(graphs());
  const std::vector<data::Column> computed = encode::compute(dataset, options);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.graphs()));
  std::iota(ids.begin(), ids.end(), 0);
  const data::GraphBatch batch = data::collate(dataset, computed, ids);
  torch::jit::Module module = scripted_encodings({options}, columns);
  const at::Tensor order = at::arange(batch.edges()).flip(0);
  const at::Tensor edge_index = at::stack({batch.source, batch.target}).index_select(1, order);
  const auto got = module.get_method("encodings")({edge_index, batch.graph, at::zeros({1})});
  double out = 0.0;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const at::Tensor want = batch.encoding.at(columns[c]).to(at::kFloat);
    const at::Tensor have = got.toTensorVector()[c];
    EXPECT_EQ(have.sizes(), want.sizes());
    EXPECT_TRUE(at::isnan(have).equal(at::isnan(want)));
    out = std::max(out, (at::nan_to_num(have) - at::nan_to_num(want)).abs().max().item<double>());
  }
  return out;
}

TEST(EncodingScript, RandomWalksAreThoseOfEncode) {
  for (const std::int64_t steps : {1, 2, 3, 16}) {
    EXPECT_LT(worst(encode::RandomWalkOptions{.steps = steps}, {"random_walk"}), 1e-7) << steps;
  }
}

TEST(EncodingScript, EigenpairsAreThoseOfEncodeRepeatedEigenvaluesToo) {
  for (const char* normalization : {"none", "sym", "rw"}) {
    for (const std::int64_t count : {1, 2, 4, 8, 30}) {
      const encode::LaplacianOptions options{
          .count = count, .skip = count % 3, .normalization = normalization, .quirks = {}};
      EXPECT_LT(worst(options, {"laplacian.values", "laplacian.vectors"}), 1e-6)
          << normalization << count;
    }
  }
}

TEST(EncodingScript, ScaledEigenvectorsAreThoseOfEncode) {
  for (const char* kind : {"l1", "abs_max", "wavelength", "wavelength_asin", "wavelength_soft"}) {
    // Wavelengths divide by the root of what is left of the eigenvalue 0.
    const encode::LaplacianOptions options{
        .count = 4, .normalization = "sym", .vector_norm = kind, .quirks = {}};
    EXPECT_LT(worst(options, {"laplacian.values", "laplacian.vectors"}), 1e-6) << kind;
  }
}

TEST(EncodingScript, HeatKernelsAndPotentialsAreThoseOfEncode) {
  EXPECT_LT(worst(encode::HeatKernelOptions{.times = {0.5, 3}}, {"heat_kernel"}), 1e-6);
  EXPECT_LT(worst(encode::ElectrostaticOptions{}, {"electrostatic"}), 1e-5);
}

TEST(EncodingScript, DegreesAreThoseOfEncode) {
  EXPECT_EQ(worst(encode::DegreeOptions{}, {"degree"}), 0.0);
}

TEST(EncodingScript, DistancesAndPathsAreThoseOfEncode) {
  EXPECT_EQ(worst(encode::HopDistanceOptions{}, {"hop_distance"}), 0.0);
  EXPECT_EQ(worst(encode::HopDistanceOptions{.max_distance = 2}, {"hop_distance"}), 0.0);
  for (const std::string ties : {"smallest", "search", "relaxation"}) {
    encode::ShortestPathOptions options;
    options.ties = ties;
    EXPECT_EQ(worst(options, {"shortest_path"}), 0.0);
    options.quirks = {"v1_node0_path"};
    EXPECT_EQ(worst(options, {"shortest_path"}), 0.0);
  }
}

TEST(EncodingScript, EigenpairsOfTheLowerTriangleAreThoseOfEncode) {
  const encode::LaplacianOptions options{
      .count = 6, .normalization = "rw", .quirks = {"rw_lower_triangle"}};
  EXPECT_LT(worst(options, {"laplacian.values", "laplacian.vectors"}), 1e-6);
}

TEST(EncodingScript, RolesAreThoseOfEncodeHashedOnesToo) {
  for (const std::int64_t rounds : {1, 2, 5}) {
    encode::WeisfeilerLehmanOptions options{.rounds = rounds, .quirks = {}};
    EXPECT_EQ(worst(options, {"weisfeiler_lehman"}), 0.0) << rounds;
    options.quirks = {"md5_rank"};
    EXPECT_EQ(worst(options, {"weisfeiler_lehman"}), 0.0) << rounds;
  }
}

TEST(EncodingScript, ColumnsComeInTheOrderAskedFor) {
  torch::jit::Module module = scripted_encodings(
      {encode::DegreeOptions{}, encode::LaplacianOptions{.count = 3, .quirks = {}}},
      {"laplacian.vectors", "degree", "laplacian.values", "degree"});
  const at::Tensor edge_index = at::tensor({0, 1, 1, 0}, at::kLong).view({2, 2});
  const auto out =
      module.get_method("encodings")({edge_index, at::zeros({2}, at::kLong), at::zeros({1})})
          .toTensorVector();
  ASSERT_EQ(out.size(), 4u);
  EXPECT_NEAR(out[0][0][0].item<double>(), std::sqrt(0.5), 1e-6);
  EXPECT_TRUE(out[1].equal(at::ones({2, 2})));
  EXPECT_NEAR(out[2][0][1].item<double>(), 2.0, 1e-6);
  EXPECT_TRUE(out[3].equal(out[1]));
}

TEST(EncodingScript, RefusesWhatItCannotCompute) {
  EXPECT_THAT([] { encoding_script({encode::DegreeOptions{}}, {"random_walk"}); },
              ::testing::ThrowsMessage<base::RecipeError>(
                  ::testing::HasSubstr("random_walk is not computed")));
}

TEST(EncodingScript, ArgumentsAreIdentifiers) {
  EXPECT_EQ(argument_of("laplacian.values"), "laplacian_values");
}

}  // namespace
}  // namespace gtrain::deploy
