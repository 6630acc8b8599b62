#include "gtrain/script/library.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>

#include <fstream>
#include <iterator>

#include "gtrain/base/torch_release.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(ScriptLibrary, RegistersEveryOperatorThatItLists) {
  ASSERT_FALSE(schemas().empty());
  for (const std::string& text : schemas()) {
    const c10::FunctionSchema schema = torch::jit::parseSchema(text);
    const auto found = c10::Dispatcher::singleton().findSchema(schema.operator_name());
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(found->schema(), schema);
  }
}

TEST(ScriptLibrary, IsDescribedInThePageOfOps) {
  std::ifstream file(GTRAIN_SOURCE_DIR "/docs/ops.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string& schema : schemas()) {
    EXPECT_THAT(page, HasSubstr("\n" + schema.substr(std::string("gtrain::").size()) + "\n"));
  }
}

at::Tensor call_linear(const at::Tensor& x, const at::Tensor& weight) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("gtrain::linear", "");
  torch::jit::Stack stack{x, weight, c10::IValue(), std::string("relu")};
  op.callBoxed(stack);
  return stack.front().toTensor();
}

TEST(ScriptLibrary, RunsAnOperatorThroughTorchsDispatcher) {
  const at::Tensor x = at::randn({3, 4}), weight = at::randn({2, 4});
  EXPECT_TRUE(call_linear(x, weight).allclose(at::relu(at::linear(x, weight)), 1e-5, 1e-6));
}

TEST(ScriptLibrary, RefusesDerivativesByName) {
  const at::Tensor x = at::randn({3, 4}), weight = at::randn({2, 4}).requires_grad_();
  const at::Tensor y = call_linear(x, weight);
  EXPECT_THAT([&] { y.sum().backward(); },
              ThrowsMessage<std::exception>(HasSubstr("gtrain::linear")));
}

TEST(ScriptLibrary, RefusesOtherDevicesByName) {
  EXPECT_THAT(
      [] {
        call_linear(at::empty({3, 4}, at::kMeta), at::empty({2, 4}, at::kMeta));
      },
      ThrowsMessage<std::exception>(HasSubstr("gtrain::linear")));
}

TEST(ScriptLibrary, CanReadTheVersionOfThisTorch) {
  EXPECT_NE(base::torch_version_in(at::show_config()), "");
}

}  // namespace
}  // namespace gtrain::script
