// The names that a fused text may use beside torch's.
#pragma once

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace gtrain::deploy::detail {

// `gtrain` in a fused text: the operators that libgtrain_ops registers.
class FusedResolver final : public torch::jit::Resolver {
 public:
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(
      const std::string& name, torch::jit::GraphFunction& function,
      const torch::jit::SourceRange& range) override {
    if (name == "gtrain") return std::make_shared<torch::jit::BuiltinModule>("gtrain");
    return torch::jit::nativeResolver()->resolveValue(name, function, range);
  }
};

}  // namespace gtrain::deploy::detail
