#include "gtrain/deploy/freeze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "deploy/script_case.h"

namespace gtrain::deploy {
namespace {

struct Scripted {
  std::shared_ptr<models::Model> model;
  torch::jit::Module module;
  data::GraphBatch batch;
};

Scripted scripted(const models::ModelOptions& options) {
  const data::Dataset dataset = categorical_dataset(
      {support::path(4), support::cycle(5), support::star(7), support::edgeless(1)});
  const auto encodings = all_encodings();
  const models::Signature signature = signature_of(dataset, encodings);
  Scripted out;
  out.model = random_model(options, signature);
  out.module = script_module(*out.model, spec_of(signature, encodings));
  std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.graphs()));
  std::iota(ids.begin(), ids.end(), 0);
  out.batch = data::collate(dataset, compute_all(dataset, encodings), ids);
  return out;
}

double difference(Scripted& s, torch::jit::Module& module) {
  const at::Tensor want = run_script(s.module, inputs_of(s.batch));
  const at::Tensor got = run_script(module, inputs_of(s.batch));
  return (got - want).abs().max().item<double>() / std::max(1.0, want.abs().max().item<double>());
}

void expect_same_when_frozen(const std::string& name, const models::ModelOptions& options) {
  Scripted s = scripted(options);
  torch::jit::Module module = frozen(s.module);
  EXPECT_LT(difference(s, module), 1e-5) << name;
  EXPECT_EQ(module.named_parameters().size() + module.named_buffers().size(), 0u) << name;
}

TEST(Frozen, GivesTheSameForEveryLocalAndGlobalBranch) {
  for (const std::string_view name : nn::local_names()) {
    models::GpsOptions o = small_gps();
    o.local = name;
    expect_same_when_frozen(std::string(name), o);
  }
  for (const char* name : {"performer", "bigbird", "deep_sets"}) {
    models::GpsOptions o = small_gps();
    o.global = name;
    expect_same_when_frozen(name, o);
  }
}

TEST(Frozen, GivesTheSameForEveryFormOfMessagePassingAndGraphormer) {
  for (const auto& [name, options] : small_mpnns()) expect_same_when_frozen(name, options);
  for (const auto& [name, options] : small_graphormers()) {
    if (!name.starts_with("nodes")) expect_same_when_frozen(name, options);
  }
}

TEST(Frozen, LeavesTheModuleItIsMadeFrom) {
  Scripted s = scripted(small_gps());
  const std::size_t parameters = s.module.named_parameters().size();
  frozen(s.module);
  EXPECT_EQ(s.module.named_parameters().size(), parameters);
}

torch::jit::Module affine_module(const std::string& forward) {
  torch::jit::Module module("affine");
  module.register_attribute("training", c10::BoolType::get(), false);
  at::Tensor g = at::arange(1, 4, at::kFloat);
  module.register_parameter("a", at::arange(9, at::kFloat).view({3, 3}) / 7 - 0.5, false);
  module.register_parameter("c", g / 3, false);
  for (const char* name : {"weight", "bias", "mean"})
    module.register_parameter(name, g.clone(), false);
  module.register_parameter("variance", g / 2 + 0.1, false);
  module.define(
      "def norm(self, x: Tensor) -> Tensor:\n"
      "    return torch.batch_norm(x, self.weight, self.bias, self.mean, self.variance, "
      "False, 0.1, 1e-05, False)\n" +
      forward);
  return module;
}

// Norms left of a forward, which has to give the same.
int norms_left(const std::string& forward) {
  torch::jit::Module module = affine_module(forward);
  torch::jit::Module done = frozen(module);
  const at::Tensor x = at::arange(12, at::kFloat).view({4, 3}) / 5;
  const at::Tensor want = module.forward({x}).toTensor(), got = done.forward({x}).toTensor();
  EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-5)) << forward << got << want;
  return batch_norms_in(done);
}

TEST(Frozen, FoldsANormAfterALinearMap) {
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return self.norm(torch.linear(x, self.a, self.c))\n"),
            0);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return self.norm(torch.linear(x, self.a))\n"),
            0);
}

TEST(Frozen, FoldsANormBeforeALinearMap) {
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return torch.linear(self.norm(x), self.a, self.c)\n"),
            0);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return torch.linear(self.norm(x), self.a)\n"),
            0);
}

TEST(Frozen, FoldsANormAfterAResidualSum) {
  for (const char* bias : {", self.c", ""}) {
    const std::string map = std::string("torch.linear(torch.relu(x), self.a") + bias + ")";
    for (const std::string& sum :
         {"x + " + map, map + " + x", map + " + torch.linear(x, self.a)"}) {
      EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n    return self.norm(" + sum +
                           ")\n"),
                0)
          << sum;
    }
  }
}

TEST(Frozen, FoldsTheNormsOfGps) {
  Scripted s = scripted(small_gps());
  EXPECT_EQ(batch_norms_in(frozen(s.module)), 0);
}

TEST(Frozen, KeepsANormThatCannotMove) {
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    y = self.norm(x)\n"
                       "    return y + torch.linear(y, self.a, self.c)\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    y = torch.linear(x, self.a, self.c)\n"
                       "    return y + self.norm(y)\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    y = torch.linear(x, self.a, self.c)\n"
                       "    return y * self.norm(x + y)\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    y = x + torch.linear(x, self.a, self.c)\n"
                       "    return y * self.norm(y)\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return self.norm(x + torch.relu(torch.linear(x, self.a, self.c)))\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return self.norm(torch.add(x, torch.linear(x, self.a), alpha=2))\n"),
            1);
  EXPECT_EQ(norms_left("def forward(self, x: Tensor) -> Tensor:\n"
                       "    return self.norm(torch.linear(x, self.a, self.c) + 3.0)\n"),
            1);
}

}  // namespace
}  // namespace gtrain::deploy
