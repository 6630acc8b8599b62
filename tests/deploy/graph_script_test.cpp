#include "gtrain/deploy/graph_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "deploy/script_case.h"
#include "gtrain/base/error.h"
#include "gtrain/data/feature.h"

namespace gtrain::deploy {
namespace {

using data::GraphBatch;

std::vector<support::OddGraph> graphs() {
  auto out = support::odd_graphs();
  out.push_back(support::random_arcs(3, 12, 40));
  return out;
}

GraphBatch whole(const data::Dataset& dataset, const std::vector<data::Column>& columns = {}) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.graphs()));
  std::iota(ids.begin(), ids.end(), 0);
  std::rotate(ids.begin(), ids.begin() + 2, ids.end());  // one without nodes is not the first
  return data::collate(dataset, columns, ids);
}

torch::jit::Module scripted_features(const RawFeatures& features) {
  torch::jit::Module module("features");
  module.define(feature_script(features));
  return module;
}

at::Tensor made(torch::jit::Module& module, const GraphBatch& b) {
  const auto in = inputs_of(b);
  return module.get_method("made_features")({in[0], in[1].flip(1), in[3]}).toTensor();
}

TEST(FeatureScript, ColumnsAreThoseOfData) {
  struct Made {
    std::string name;
    std::int64_t cap;
  };
  for (const auto& [name, cap] :
       {Made{"constant", 0}, Made{"degree_onehot", 0}, Made{"degree_onehot", 2},
        Made{"local_degree_profile", 0}, Made{"one_hot", 0}}) {
    const data::Dataset raw = categorical_dataset(graphs());
    data::Dataset changed = raw;
    data::apply_features(changed, name, cap);
    torch::jit::Module module = scripted_features({name, cap, raw.info.node_categories});
    const at::Tensor want = whole(changed).node, got = made(module, whole(raw));
    ASSERT_EQ(got.sizes(), want.sizes()) << name;
    EXPECT_EQ(got.is_floating_point(), want.is_floating_point()) << name;
    EXPECT_LT((got - want).abs().max().item<double>(), 1e-6) << name;
  }
}

TEST(FeatureScript, CategoriesBeyondTheTableAreNamed) {
  torch::jit::Module module = scripted_features({"one_hot", 0, {7, 5}});
  GraphBatch b = whole(categorical_dataset({support::path(3), support::path(2)}));
  b.node[1][1].fill_(5);
  EXPECT_THAT([&] { made(module, b); },
              ::testing::ThrowsMessage<std::exception>(::testing::HasSubstr(
                  "x: row 1 column 1 holds 5; expected a category from 0 to 4")));
}

TEST(FeatureScript, RefusesNumbersAsCategories) {
  EXPECT_THROW(feature_script({"one_hot", 0, {}}), base::RecipeError);
  EXPECT_EQ(feature_script({}), "");
}

TEST(RawWidth, IsThatOfTheColumnsOnDisk) {
  EXPECT_EQ(raw_width({}, 9), 9);
  EXPECT_EQ(raw_width({"one_hot", 0, {7, 5}}, 12), 2);
  EXPECT_EQ(raw_width({"constant", 0, {}}, 1), -1);
}

TEST(TransformScript, RefusesTwoVirtualNodes) {
  EXPECT_THROW(transform_script({data::VirtualNodeOptions{}, data::VirtualNodeOptions{}}),
               base::RecipeError);
}

// A data set as it is on disk and as a model sees it, with the encodings of either.
struct Views {
  data::Dataset raw, seen;
  std::vector<encode::EncodingOptions> encodings;
  std::vector<data::Column> raw_columns, seen_columns;
  ExportSpec spec;
  std::shared_ptr<models::Model> model;

  Views(const models::ModelOptions& options, const data::VirtualNodeOptions& node, data::Task task,
        bool pairs = true)
      : raw(categorical_dataset(graphs())), encodings(all_encodings()) {
    const bool edges = data::level_of(task) == data::Level::kEdge;  // pairs come with the batch
    raw.info.task = edges ? data::Task::kGraphRegression : task;
    if (!pairs) encodings.resize(3);
    if (data::level_of(task) == data::Level::kNode) {
      raw.labels = data::make_column<float>("y", data::Per::kNode, raw.nodes(), 1).column;
    }
    raw_columns = compute_all(raw, encodings);
    data::Transformed made = data::transform(raw, {}, {node}, "import");
    made.encodings = compute_all(made.dataset, encodings);
    made = data::transform(made.dataset, made.encodings, {node}, "encode");
    seen = made.dataset;
    seen_columns = made.encodings;
    spec = spec_of(signature_of(seen, encodings), encodings);
    spec.transform = {node};
    spec.signature.level = data::level_of(task);
    model = random_model(options, spec.signature);
  }
};

data::VirtualNodeOptions node_after(const std::string& stage, bool pure = false) {
  data::VirtualNodeOptions node;
  node.after = stage;
  node.pure = pure;
  return node;
}

double apart(const at::Tensor& got, const at::Tensor& want) {
  if (got.sizes() != want.sizes()) return 1e30;
  return (got - want).abs().max().item<double>() / std::max(1.0, want.abs().max().item<double>());
}

// Of the nodes that no transform added.
at::Tensor own_rows(const GraphBatch& seen) {
  at::Tensor own = at::ones({seen.nodes()}, at::kBool);
  own.index_fill_(0, seen.graph_start.slice(0, 1) - 1, false);
  return own.nonzero().view({-1});
}

TEST(TransformScript, VirtualNodesOfGraphTasksAreThoseOfData) {
  for (const char* stage : {"encode", "import"}) {
    for (const bool pure : {false, true}) {
      Views v(small_gps(), node_after(stage, pure), data::Task::kGraphRegression, false);
      torch::jit::Module module = script_module(*v.model, v.spec);
      const at::Tensor want = run_model(*v.model, whole(v.seen, v.seen_columns));
      EXPECT_LT(apart(run_script(module, inputs_of(whole(v.raw))), want), 1e-5) << stage << pure;
    }
  }
}

TEST(TransformScript, PairsOfTransformedGraphsAreEncoded) {
  Views v(small_graphormers().at("paths"), node_after("import"), data::Task::kGraphRegression);
  torch::jit::Module module = script_module(*v.model, v.spec);
  const at::Tensor want = run_model(*v.model, whole(v.seen, v.seen_columns));
  EXPECT_LT(apart(run_script(module, inputs_of(whole(v.raw))), want), 1e-5);
}

TEST(TransformScript, NodeTasksGetTheirOwnNodesBack) {
  models::GpsOptions options = small_gps();
  options.head = models::NodeHeadOptions{.layers = 2};
  Views v(options, node_after("encode"), data::Task::kNodeRegression, false);
  torch::jit::Module module = script_module(*v.model, v.spec);
  const GraphBatch seen = whole(v.seen, v.seen_columns), raw = whole(v.raw);
  const at::Tensor want = run_model(*v.model, seen).index_select(0, own_rows(seen));
  ASSERT_EQ(want.size(0), raw.nodes());
  EXPECT_LT(apart(run_script(module, inputs_of(raw)), want), 1e-5);
}

TEST(TransformScript, PairsOfEdgeTasksAreInTheNumbersOfTheRawGraph) {
  models::GpsOptions options = small_gps();
  options.head = models::EdgeHeadOptions{2, "concat"};
  Views v(options, node_after("encode"), data::Task::kEdgeRegression, false);
  torch::jit::Module module = script_module(*v.model, v.spec);
  GraphBatch seen = whole(v.seen, v.seen_columns);
  const GraphBatch raw = whole(v.raw);
  std::vector<std::int64_t> ends;  // first and last node of each graph
  for (std::int64_t g = 0; g < raw.graphs; ++g) {
    const auto first = raw.graph_start[g].item<std::int64_t>();
    const auto last = raw.graph_start[g + 1].item<std::int64_t>() - 1;
    if (first <= last) ends.insert(ends.end(), {first, last});
  }
  const at::Tensor pairs = at::tensor(ends, at::kLong).view({-1, 2}).t().contiguous();
  seen.pair = own_rows(seen).index_select(0, pairs.flatten()).view({2, -1}).t();
  std::vector<at::Tensor> inputs = inputs_of(raw);
  inputs.push_back(pairs);
  EXPECT_LT(apart(run_script(module, inputs), run_model(*v.model, seen)), 1e-5);
}

TEST(TransformScript, GivenEncodingsAreOfTheGraphThatWasEncoded) {
  for (const char* stage : {"encode", "import"}) {
    Views v(small_gps(), node_after(stage), data::Task::kGraphRegression, false);
    v.spec.encodings = Encodings::kInput;
    torch::jit::Module module = script_module(*v.model, v.spec);
    const GraphBatch seen = whole(v.seen, v.seen_columns), raw = whole(v.raw, v.raw_columns);
    std::vector<at::Tensor> inputs = inputs_of(raw);
    for (const std::string& column : encoding_arguments(*v.model)) {
      const bool of_raw = transforms_after(v.spec.transform, "encode");
      inputs.push_back((of_raw ? raw : seen).encoding.at(column));
    }
    EXPECT_LT(apart(run_script(module, inputs), run_model(*v.model, seen)), 1e-5) << stage;
  }
}

TEST(TransformScript, PairColumnsCannotBeWidened) {
  Views v(small_gps(), node_after("encode"), data::Task::kGraphRegression, false);
  v.spec.encode = all_encodings();
  const auto model =
      random_model(small_graphormers().at("paths"), signature_of(v.raw, all_encodings()));
  EXPECT_THAT([&] { script_module(*model, v.spec); },
              ::testing::ThrowsMessage<base::RecipeError>(
                  ::testing::HasSubstr("virtual_node cannot extend the encoding hop_distance")));
}

}  // namespace
}  // namespace gtrain::deploy
