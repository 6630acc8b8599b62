#include "gtrain/deploy/input_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "deploy/script_case.h"
#include "gtrain/deploy/freeze.h"

namespace gtrain::deploy {
namespace {

struct Wrong {
  const char* says;
  std::function<void(std::vector<at::Tensor>&)> change;
};

using Inputs = std::vector<at::Tensor>;

std::vector<Wrong> wrongs() {
  return {
      {"x: has shape [9, 1]; expected [N, 2]", [](Inputs& i) { i[0] = i[0].slice(1, 1); }},
      {"batch: is empty; expected at least one node",
       [](Inputs& i) {
         i = {at::zeros({0, 2}, at::kLong), at::zeros({2, 0}, at::kLong),
              at::zeros({0, 2}, at::kLong), at::zeros({0}, at::kLong)};
       }},
      {"x: has the type complex64", [](Inputs& i) { i[0] = i[0].to(at::kComplexFloat); }},
      {"x: has the type int32; expected int64 or float",
       [](Inputs& i) { i[0] = i[0].to(at::kInt); }},
      {"edge_attr: has the type bool", [](Inputs& i) { i[2] = i[2].to(at::kBool); }},
      {"x: has shape [9]; expected [N, 2]", [](Inputs& i) { i[0] = i[0].select(1, 0); }},
      {"edge_index: has the type int32; expected int64",
       [](Inputs& i) { i[1] = i[1].to(at::kInt); }},
      {"edge_index: has the ends -1 to 8", [](Inputs& i) { i[1][1][2].fill_(-1); }},
      {"edge_attr: row 3 column 1 holds nan; expected finite numbers",
       [](Inputs& i) {
         i[2] = i[2].to(at::kFloat);
         i[2][3][1].fill_(std::numeric_limits<double>::quiet_NaN());
       }},
      {"batch: has the type float32; expected int64",
       [](Inputs& i) { i[3] = i[3].to(at::kFloat); }},
      {"batch: has shape [9, 1]", [](Inputs& i) { i[3] = i[3].unsqueeze(1); }},
      {"batch: ends with graph 1000000000000; expected at most 1048576 ids without nodes",
       [](Inputs& i) { i[3][8].fill_(1000000000000); }},
      {"x: has a floating type; expected integer categories",
       [](Inputs& i) { i[0] = i[0].to(at::kFloat); }},
      {"x: row 2 column 1 holds 5; expected a category from 0 to 4",
       [](Inputs& i) { i[0][2][1].fill_(5); }},
      {"edge_attr: row 0 column 0 holds -1", [](Inputs& i) { i[2][0][0].fill_(-1); }},
      {"edge_index: has the ends 0 to 9; expected 0 to 8", [](Inputs& i) { i[1][0][3].fill_(9); }},
      {"edge_index: has an edge between two graphs", [](Inputs& i) { i[1][0][0].fill_(8); }},
      {"edge_index: has shape [16, 2]; expected int64 [2, E]", [](Inputs& i) { i[1] = i[1].t(); }},
      {"edge_attr: has 15 rows; edge_index has 16 edges",
       [](Inputs& i) { i[2] = i[2].slice(0, 1); }},
      {"batch: is not ascending", [](Inputs& i) { i[3] = i[3].flip(0); }},
      {"batch: begins with -1", [](Inputs& i) { i[3] = i[3] - 1; }},
      {"batch: has 8 entries; x has 9 rows", [](Inputs& i) { i[3] = i[3].slice(0, 1); }},
  };
}

struct Built {
  data::Dataset dataset = categorical_dataset({support::path(4), support::cycle(5)});
  std::vector<encode::EncodingOptions> encodings = all_encodings();
  models::Signature signature = signature_of(dataset, encodings);
  std::shared_ptr<models::Model> model = random_model(small_gps(), signature);
  torch::jit::Module module = script_module(*model, spec_of(signature, encodings));

  Inputs inputs() const {
    Inputs out = inputs_of(data::collate(dataset, {}, std::vector<std::int64_t>{0, 1}));
    for (at::Tensor& t : out) t = t.clone();
    return out;
  }
};

void expect_all_found(torch::jit::Module& module, const Built& b) {
  EXPECT_NO_THROW(run_script(module, b.inputs()));
  for (const Wrong& wrong : wrongs()) {
    Inputs inputs = b.inputs();
    wrong.change(inputs);
    EXPECT_THAT([&] { run_script(module, inputs); },
                ::testing::ThrowsMessage<std::exception>(::testing::HasSubstr(wrong.says)));
  }
}

TEST(InputCheck, SaysWhatIsWrongWithAnArgument) {
  Built b;
  expect_all_found(b.module, b);
}

TEST(InputCheck, IsPartOfFrozenModulesToo) {
  Built b;
  torch::jit::Module module = frozen(b.module);
  expect_all_found(module, b);
}

TEST(InputCheck, TakesAnyNumberOfColumnsWhereOnlyTheRowsCount) {
  torch::jit::Module module("check");
  RawFeatures features;
  features.name = "constant";
  module.define(input_check_script(features, models::Signature()));
  const auto check = [&](const at::Tensor& x) {
    module.get_method("check")(
        {x, at::zeros({2, 0}, at::kLong), at::zeros({0, 0}), at::zeros({x.size(0)}, at::kLong)});
  };
  EXPECT_NO_THROW(check(at::zeros({3, 0})));
  EXPECT_NO_THROW(check(at::zeros({3, 7})));
  EXPECT_THAT([&] { check(at::zeros({3})); },
              ::testing::ThrowsMessage<std::exception>(
                  ::testing::HasSubstr("x: has shape [3]; expected [N, any]")));
}

TEST(InputCheck, RowsOfAnEncodingAreThoseOfNodesOrOfPairsOfNodes) {
  torch::jit::Module module("check");
  module.define("def nodes(self, x: Tensor, batch: Tensor, walk: Tensor):\n" +
                encoding_check_script("walk", 3) +
                "def pairs(self, x: Tensor, batch: Tensor, hops: Tensor):\n" +
                encoding_check_script("hops", std::nullopt));
  const at::Tensor x = at::zeros({5, 1}), batch = at::tensor({0, 0, 0, 1, 1}, at::kLong);
  EXPECT_NO_THROW(module.get_method("nodes")({x, batch, at::zeros({5, 3})}));
  EXPECT_NO_THROW(module.get_method("pairs")({x, batch, at::zeros({13})}));
  EXPECT_THAT(
      [&] {
        module.get_method("nodes")({x, batch, at::zeros({5, 2})});
      },
      ::testing::ThrowsMessage<std::exception>(
          ::testing::HasSubstr("walk: has shape [5, 2]; expected [5, 3]")));
  EXPECT_THAT(
      [&] {
        module.get_method("pairs")({x, batch, at::zeros({25})});
      },
      ::testing::ThrowsMessage<std::exception>(
          ::testing::HasSubstr("hops: has shape [25]; expected [13, 1]")));
}

TEST(InputCheck, NumbersOfAnEncodingAreWhatItCanHave) {
  torch::jit::Module module("check");
  const auto method = [](const std::string& name, std::optional<std::int64_t> width) {
    return "def of_" + name + "(self, x: Tensor, batch: Tensor, " + name + ": Tensor):\n" +
           encoding_check_script(name, width);
  };
  module.define(method("walk", 1) + method("laplacian_values", 1) + method("hops", std::nullopt) +
                method("shortest_path", std::nullopt));
  const at::Tensor x = at::zeros({2, 1}), batch = at::zeros({2}, at::kLong);
  const auto check = [&](const char* name, const at::Tensor& column) {
    module.get_method(std::string("of_") + name)({x, batch, column});
  };
  const at::Tensor nan = at::full({2, 1}, std::nan("")), inf = at::full({2, 1}, INFINITY);
  EXPECT_NO_THROW(check("laplacian_values", nan));
  EXPECT_ANY_THROW(check("laplacian_values", inf));
  EXPECT_ANY_THROW(check("laplacian_values", at::zeros({2, 1}, at::kComplexFloat)));
  EXPECT_NO_THROW(check("walk", at::ones({2, 1}, at::kInt)));
  EXPECT_ANY_THROW(check("walk", nan));
  EXPECT_ANY_THROW(check("walk", inf));
  EXPECT_ANY_THROW(check("walk", at::zeros({2, 1}, at::kBool)));
  EXPECT_NO_THROW(check("hops", at::full({4}, 255, at::kByte)));
  EXPECT_ANY_THROW(check("hops", at::full({4}, -5, at::kLong)));
  EXPECT_ANY_THROW(check("hops", at::full({4}, 1000, at::kLong)));
  EXPECT_ANY_THROW(check("hops", at::full({4}, 0.5)));
  EXPECT_NO_THROW(check("shortest_path", at::full({4, 1}, -1, at::kInt)));
  EXPECT_ANY_THROW(check("shortest_path", at::full({4, 1}, 2, at::kInt)));
}

}  // namespace
}  // namespace gtrain::deploy
