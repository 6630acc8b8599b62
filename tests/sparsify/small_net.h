// A transformer of two layers and a linear one, for tests of what sparsifies any model.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "gtrain/nn/graphormer_layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/ops/segment.h"
#include "gtrain/sparsify/rule.h"
#include "support/layer_case.h"

namespace gtrain::sparsify {

class SmallNet final : public torch::nn::Module {
 public:
  explicit SmallNet(std::int64_t width = 8) {
    for (int l = 0; l < 2; ++l) {
      layers.push_back(
          register_module(fmt::format("layer_{}", l),
                          std::make_shared<nn::GraphormerLayer>(nn::GraphormerLayerShape{
                              .width = width, .hidden = 2 * width, .heads = 2, .biased = false})));
    }
    last = register_module("last", std::make_shared<nn::Linear>(width, 1));
    std::uint64_t seed = 3;
    apply([&](torch::nn::Module& m) {
      if (auto* layer = dynamic_cast<nn::Layer*>(&m)) {
        base::Random random(base::key(seed++, base::Purpose::kInit));
        layer->initialise(random);
      }
    });
  }
  at::Tensor forward(at::Tensor x, const at::Tensor& start, nn::Context& context) {
    for (const auto& layer : layers) {
      x = layer->forward({.x = x, .graph_start = start}, context);
    }
    return last->forward(ops::segment_sum(x, start));
  }
  std::vector<std::shared_ptr<nn::GraphormerLayer>> layers;
  std::shared_ptr<nn::Linear> last;
};

inline Options one_rule(Rule rule, double keep) {
  timing_of(rule).keep = keep;
  Options out;
  out.rules.push_back(std::move(rule));
  return out;
}

}  // namespace gtrain::sparsify
