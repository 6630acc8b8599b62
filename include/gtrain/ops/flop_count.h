// Counts the floating-point operations of forwards, exactly and where they happen: every op of
// gtrain reports its own at its front door, torch's own operators are observed and looked up in a
// table, and both are put down to the layer that runs them. docs/flops.md says what is counted. It
// follows what is really run: rows that a gate leaves out are not counted, zeros in a weight are,
// and stand beside the count as what a sparse product would save.
//
//   FlopCount count;                       // from here on, on this thread
//   for (const auto& p : model.named_parameters()) count.name(p.value(), module_of(p.key()));
//   model.forward(batch, context);
//   count.modules();                       // "layer_0.attention" -> operations by kind
//
// Nothing is computed for it, so outputs keep their bits; without a FlopCount an op asks one
// thread-local pointer.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace torch::nn {
class Module;
}

namespace gtrain::ops {

enum class Work {
  kProduct,    // dense products with weights, and their biases
  kAttention,  // scores, softmax and sums of values
  kMessage,    // what goes along edges, and sums over edges or over the nodes of a graph
  kNorm,       // normalisation
  kElement,    // activations, residuals and all else that is element by element
};
inline constexpr std::size_t kWorks = 5;
std::string_view name_of(Work work);  // "product", "attention", "message", "norm", "element"

struct Flops {
  std::array<double, kWorks> of{};  // by Work
  double zeros = 0;                 // among the products those with a weight that is 0

  double total() const;
  double sparse() const { return total() - zeros; }
  Flops& operator+=(const Flops& other);
};

class FlopCount {
 public:
  FlopCount();  // throws c10::Error where this thread counts already
  ~FlopCount();
  FlopCount(const FlopCount&) = delete;
  FlopCount& operator=(const FlopCount&) = delete;

  // Work on this parameter belongs to `module`; so does, while `layer` is the innermost FlopScope,
  // what has no parameter. All else belongs to "".
  void name(const at::Tensor& parameter, const std::string& module);
  void name(const torch::nn::Module& layer, const std::string& module);

  const std::map<std::string, Flops>& modules() const;
  Flops total() const;
  // torch's operators on floating-point numbers that no table knows; they are not in the count.
  const std::set<std::string>& unknown() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

// While it lives, work without a parameter is this layer's.
class FlopScope {
 public:
  explicit FlopScope(const torch::nn::Module& layer);
  ~FlopScope();
  FlopScope(const FlopScope&) = delete;
  FlopScope& operator=(const FlopScope&) = delete;

 private:
  const void* outer_;
};

}  // namespace gtrain::ops
