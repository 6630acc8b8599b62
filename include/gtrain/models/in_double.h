// A model in float64 while this lives, to tell rounding from errors; afterwards it has its own
// values again, to the bit. Integer buffers, of which Module::to would make floats, stay as they
// are; float columns of a batch are taken as they come. Rounded: its values through bfloat16 first.
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <utility>
#include <vector>

namespace gtrain::models {

class InDouble {
 public:
  explicit InDouble(torch::nn::Module& model, bool rounded = false) {
    std::vector<at::Tensor> all = model.parameters();
    for (const at::Tensor& b : model.buffers()) all.push_back(b);
    for (const at::Tensor& t : all) {
      if (!t.is_floating_point()) continue;
      values_.emplace_back(t, t.detach());
      const at::Tensor from = rounded ? t.detach().to(at::kBFloat16) : t.detach();
      t.set_data(from.to(at::kDouble));
    }
  }
  InDouble(const InDouble&) = delete;
  InDouble& operator=(const InDouble&) = delete;
  ~InDouble() {
    for (const auto& [tensor, own] : values_) tensor.set_data(own);
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> values_;
};

}  // namespace gtrain::models
