// What layer tests share: a context in training or evaluation, and initialised layers.
#pragma once

#include <memory>

#include "gtrain/nn/layer.h"
#include "support/edge_batch.h"

namespace gtrain::support {

inline nn::Context context(bool training, std::uint64_t key = 1) {
  nn::Context c;
  c.training = training;
  c.key = key;
  return c;
}

// Draws the parameters of a layer and of all below it; double precision.
template <class T>
std::shared_ptr<T> ready(std::shared_ptr<T> layer, std::uint64_t seed = 3) {
  layer->apply([&](torch::nn::Module& m) {
    if (auto* l = dynamic_cast<nn::Layer*>(&m)) {
      base::Random random(base::key(seed++, base::Purpose::kInit));
      l->initialise(random);
    }
  });
  layer->to(at::kDouble);
  return layer;
}

}  // namespace gtrain::support
