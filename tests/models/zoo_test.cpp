#include "gtrain/models/zoo.h"

#include <ATen/Parallel.h>

#include <map>
#include <set>

#include "models/sample.h"
#include "models/zoo_case.h"

namespace gtrain::models {
namespace {

TEST(Zoo, ListsEveryModelOnce) {
  std::set<std::string_view> names;
  for (const Entry& e : zoo()) {
    EXPECT_EQ(e.name, e.defaults.name());
    names.insert(e.name);
  }
  EXPECT_EQ(names.size(), zoo().size());
  EXPECT_EQ(zoo().begin()->name, "gps");
  EXPECT_EQ(zoo().find("gps")->name, "gps");
  EXPECT_EQ(zoo().find("nosuch"), nullptr);
}

TEST(Zoo, RefusesAModelWhoseNameIsTaken) {
  Zoo own = zoo();
  EXPECT_THROW(own.add(entry<GpsOptions>("again", "not yet")), std::invalid_argument);
}

TEST(ModelChoice, SelectsAmongTheModelsOfItsZooAlone) {
  const Zoo small{entry<GpsOptions>("one", "not yet")};
  GpsOptions wide;
  wide.width = 128;
  ModelOptions options(wide);
  ModelChoice choice(options, small);
  EXPECT_EQ(choice.alternatives().size(), 1u);
  EXPECT_FALSE(choice.select("graphormer"));
  EXPECT_EQ(options.width(), 128);
  EXPECT_TRUE(choice.select("gps"));  // anew, with its defaults
  EXPECT_EQ(options.width(), GpsOptions().width);
}

TEST(Initialise, IsAFunctionOfTheSeed) {
  const auto draw = [](std::uint64_t seed) {
    const auto m = build(ModelOptions(sample::options()), sample::signature());
    initialise(*m, seed);
    std::vector<at::Tensor> flat;
    for (const at::Tensor& p : m->parameters()) flat.push_back(p.detach().flatten());
    return at::cat(flat);
  };
  EXPECT_TRUE(support::same_bits(draw(1), draw(1)));
  EXPECT_GT(support::distance(draw(1), draw(2)), 0.1);
}

TEST(Initialise, GivesLayersOfTheSameShapeOtherWeights) {
  const auto m = sample::model(sample::options());
  const auto p = m->named_parameters();
  EXPECT_GT(support::distance(p["layer_0.feed_0.weight"], p["layer_1.feed_0.weight"]), 0.01);
  EXPECT_GT(support::distance(p["layer_0.local.mlp_0.weight"], p["layer_0.local.mlp_1.weight"]),
            0.01);
}

using zoo_case::Specimen;
using zoo_case::ZooCase;

std::vector<Specimen> specimens() {
  std::vector<Specimen> out;
  std::uint64_t seed = 0;
  for (const support::OddGraph& g : support::odd_graphs()) {
    out.push_back(zoo_case::specimen(g, ++seed));
  }
  out.push_back(zoo_case::specimen(support::random_graph(3, 12, 0.3), 97));
  out.push_back(zoo_case::specimen(support::random_arcs(4, 9, 25), 98));
  return out;
}

at::Tensor run(Model& m, const std::vector<Specimen>& graphs, bool training = false) {
  nn::Context c = support::context(training, 5);
  return m.forward(zoo_case::packed(graphs), c);
}

class EveryModel : public ::testing::TestWithParam<ZooCase> {};

TEST_P(EveryModel, FollowsNodesThatAreRenumberedWithAllThatIsOnThem) {
  if (GetParam().numbered) GTEST_SKIP() << "reads the numbers of nodes";
  const auto m = zoo_case::model(GetParam());
  base::Random random(9);
  for (const Specimen& s : specimens()) {
    if (s.graph.nodes == 0) continue;
    const at::Tensor p = at::tensor(random.permutation(s.graph.nodes), at::kLong);
    const at::Tensor before = run(*m, {s}), after = run(*m, {zoo_case::renumbered(s, p)});
    const at::Tensor want = GetParam().node_level ? before.index_select(0, p) : before;
    EXPECT_LT(support::distance(after, want), 1e-10) << s.graph.name;
  }
}

TEST_P(EveryModel, SeesNoDifferenceBetweenGraphsAloneAndTogetherInEvaluation) {
  const auto m = zoo_case::model(GetParam());
  const std::vector<Specimen> all = specimens();
  const at::Tensor together = run(*m, all);
  std::int64_t row = 0;
  for (const Specimen& s : all) {
    const std::int64_t rows = GetParam().node_level ? s.graph.nodes : 1;
    if (s.graph.nodes > 0) {
      EXPECT_LT(support::distance(together.slice(0, row, row + rows), run(*m, {s})), 1e-10)
          << s.graph.name;
    }
    row += rows;
  }
}

TEST_P(EveryModel, TrainsOnSingleNodesAndGraphsWithoutEdges) {
  const auto m = zoo_case::model(GetParam());
  const Specimen one = zoo_case::specimen(support::edgeless(1), 1);
  const Specimen three = zoo_case::specimen(support::edgeless(3), 2);
  for (const std::vector<Specimen>& graphs :
       std::vector<std::vector<Specimen>>{{one}, {three}, {one, three, one}}) {
    m->zero_grad();
    const at::Tensor out = run(*m, graphs, true);
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
    out.sum().backward();
    for (const auto& p : m->named_parameters()) {
      const at::Tensor& g = p.value().grad();
      EXPECT_TRUE(!g.defined() || at::isfinite(g).all().item<bool>()) << p.key();
    }
    for (const auto& b : m->named_buffers()) {
      EXPECT_TRUE(at::isfinite(b.value()).all().item<bool>()) << b.key();
    }
  }
}

TEST_P(EveryModel, TrainsWithTheSameBitsOnAnyNumberOfThreads) {
  at::set_num_threads(1);
  const auto m = zoo_case::model(GetParam(), at::kFloat);
  std::vector<Specimen> graphs;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto n = static_cast<std::int64_t>(3 + seed * 11 % 30);
    graphs.push_back(zoo_case::specimen(support::random_graph(seed, n, 0.2), seed));
  }
  graphs.push_back(zoo_case::specimen(support::random_graph(50, 220, 0.05), 50));
  std::map<std::string, at::Tensor> first;
  for (const int threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    std::map<std::string, at::Tensor> now;
    arena.execute([&] {
      m->zero_grad();
      const at::Tensor out = run(*m, graphs, true);
      (out * support::loss_weights(out, at::kFloat)).sum().backward();
      now["output"] = out.detach();
      for (const auto& p : m->named_parameters()) {
        if (p.value().grad().defined()) now[p.key()] = p.value().grad().clone();
      }
    });
    if (first.empty()) first = now;
    ASSERT_EQ(now.size(), first.size());
    for (const auto& [name, value] : now) {
      EXPECT_TRUE(support::same_bits(value, first.at(name))) << name << " with " << threads;
    }
  }
}

TEST(Zoo, HasTheseProperties) {
  std::set<std::string_view> seen;
  for (const ZooCase& c : zoo_case::cases()) seen.insert(c.options.name());
  EXPECT_EQ(seen.size(), zoo().size());
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryModel, ::testing::ValuesIn(zoo_case::cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gtrain::models
