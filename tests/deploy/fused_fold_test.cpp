#include "gtrain/deploy/fused_fold.h"

#include <gtest/gtest.h>

#include <map>

#include "deploy/detail/fused_resolver.h"
#include "deploy/script_case.h"
#include "gtrain/deploy/freeze.h"

namespace gtrain::deploy {
namespace {

torch::jit::Module module_of(const std::string& body) {
  torch::jit::Module module("folded");
  module.register_attribute("training", c10::BoolType::get(), false);
  for (const char* name : {"a", "b"}) module.register_parameter(name, at::randn({3, 3}), false);
  for (const char* name : {"c", "w", "v", "m", "n"}) {
    module.register_parameter(name, at::randn({3}), false);
  }
  module.register_parameter("variance", at::rand({3}) + 0.5, false);
  module.define(
      "def norm(self, x: Tensor, r: Optional[Tensor]) -> Tensor:\n"
      "    return gtrain.batch_norm(x, r, self.w, self.v, self.m, self.variance)\n"
      "def other(self, x: Tensor, r: Optional[Tensor]) -> Tensor:\n"
      "    return gtrain.batch_norm(x, r, self.v, self.w, self.n, self.variance)\n"
      "def forward(self, x: Tensor) -> Tensor:\n" +
          body,
      std::make_shared<detail::FusedResolver>());
  return module;
}

std::map<std::string, int> calls_in(const torch::jit::Module& module) {
  std::map<std::string, int> out;
  for (const auto* node : module.get_method("forward").graph()->nodes()) {
    const std::string name = node->kind().toQualString();
    if (name.starts_with("gtrain::")) ++out[name.substr(8)];
  }
  return out;
}

using Calls = std::map<std::string, int>;

void expect_folded(const std::string& body, const Calls& calls) {
  SCOPED_TRACE(body);
  torch::jit::Module module = module_of(body);
  torch::jit::Module folded = frozen(module);
  const at::Tensor x = at::randn({200, 3});
  const at::Tensor want = run_script(module, {x}), got = run_script(folded, {x});
  EXPECT_TRUE(got.allclose(want, 1e-4, 1e-4)) << (got - want).abs().max();
  EXPECT_EQ(calls_in(folded), calls);
}

TEST(FusedFold, TakesInWhatComesAfterAProduct) {
  expect_folded("    return self.norm(gtrain.linear(x, self.a, self.c), None)\n",
                {{"linear_sum", 1}});
  expect_folded("    return self.norm(gtrain.linear(x, self.a, None), x)\n", {{"linear_sum", 1}});
  expect_folded("    return gtrain.activate(gtrain.linear(x, self.a, self.c), \"gelu\", x)\n",
                {{"linear_sum", 1}});
  expect_folded(
      "    h = self.norm(gtrain.linear(x, self.a, self.c), x)\n"
      "    return gtrain.activate(h, \"none\", self.other(x, None))\n",
      {{"linear_sum", 1}});
  expect_folded(
      "    h = gtrain.feed_forward(x, self.a, self.c, \"relu\", self.b, None, [], [])\n"
      "    return self.norm(h, x)\n",
      {{"feed_forward", 1}});
}

TEST(FusedFold, TakesInNormsThatComeBefore) {
  expect_folded("    return gtrain.linear(self.norm(x, None), self.a, None, \"relu\")\n",
                {{"linear_sum", 1}});
  expect_folded(
      "    return gtrain.feed_forward(self.norm(x, None), self.a, self.c, \"gelu\", self.b, "
      "self.c, [self.other(x, x)], [])\n",
      {{"feed_forward", 1}});
}

TEST(FusedFold, GoesOnUntilNothingIsLeftToTakeIn) {
  expect_folded(
      "    h = gtrain.linear(self.norm(x, None), self.a, self.c)\n"
      "    h = gtrain.activate(self.other(h, None), \"relu\")\n"
      "    return self.norm(gtrain.linear(h, self.b, None), x)\n",
      {{"linear_sum", 2}});
}

TEST(FusedFold, LeavesWhatOthersReadAndWhatIsNotLinear) {
  expect_folded(
      "    h = gtrain.linear(x, self.a, self.c)\n"
      "    return self.norm(h, None) + h\n",
      {{"linear", 1}, {"batch_norm", 1}});
  expect_folded("    return self.norm(gtrain.linear(x, self.a, self.c, \"relu\"), None)\n",
                {{"linear", 1}, {"batch_norm", 1}});
  expect_folded("    return gtrain.linear(self.norm(x, x), self.a, self.c)\n",
                {{"linear", 1}, {"batch_norm", 1}});
  expect_folded(
      "    h = gtrain.linear_sum(x, self.a, self.c, \"none\", [x], [])\n"
      "    return gtrain.activate(h, \"relu\")\n",
      {{"linear_sum", 1}, {"activate", 1}});
}

TEST(FusedFold, KeepsANormThatIsAddedBehindAnActivation) {
  expect_folded(
      "    return gtrain.activate(gtrain.linear(x, self.a, self.c), \"relu\", "
      "self.norm(x, None))\n",
      {{"linear_sum", 1}, {"batch_norm", 1}});
  expect_folded(
      "    return gtrain.linear_sum(x, self.a, self.c, \"relu\", [self.norm(x, None)], [])\n",
      {{"linear_sum", 1}, {"batch_norm", 1}});
}

TEST(FusedFold, LeavesNoListThatNothingReads) {
  std::string body = "    h = x\n";
  for (int i = 0; i < 12; ++i) {
    body += "    h = self.norm(gtrain.linear(self.other(h, None), self.a, self.c), h)\n";
  }
  const torch::jit::Module folded = frozen(module_of(body + "    return h\n"));
  int lists = 0;
  for (const auto* node : folded.get_method("forward").graph()->nodes()) {
    lists += node->kind() == c10::prim::ListConstruct && !node->hasUses() ? 1 : 0;
  }
  EXPECT_EQ(lists, 0);
}

}  // namespace
}  // namespace gtrain::deploy
