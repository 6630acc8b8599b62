// What the layers of GT and SAN have alike: projections of D to H heads of D/H channels each, and
// blocks behind the attention (nn/feed_block.h). They belong to the layer, in the order in which
// they are asked for. Not the attention between them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/nn/feed_block.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::models {

class PairParts {
 public:
  std::int64_t width, heads, channels;  // channels of a head

  // Options: GtOptions or SanOptions.
  template <class Options>
  PairParts(nn::Layer& layer, const Options& o)
      : width(o.width),
        heads(o.heads),
        channels(o.width / o.heads),
        layer_(layer),
        bias_(o.bias),
        block_{.width = o.width,
               .norm = o.norm == "layer" ? "row" : o.norm,
               .residual = o.residual,
               .dropout = o.dropout} {}

  std::shared_ptr<nn::Linear> projection(const std::string& name) {
    projections_.emplace_back(name, std::make_shared<nn::Linear>(width, width, bias_));
    return layer_.register_module(name, projections_.back().second);
  }

  std::shared_ptr<nn::FeedBlock> block(const std::string& name) {
    blocks_.emplace_back(name, std::make_shared<nn::FeedBlock>(block_));
    return layer_.register_module(name, blocks_.back().second);
  }

  std::vector<nn::Gated::HeadSlices> head_slices() const {
    std::vector<nn::Gated::HeadSlices> out;
    for (const auto& [name, linear] : projections_) {
      out.push_back({name + ".weight", linear->weight, 0});
      if (linear->bias.defined()) out.push_back({name + ".bias", linear->bias, 0});
    }
    for (const auto& [name, block] : blocks_) {
      out.push_back({name + ".out.weight", block->out()->weight, 1});
    }
    return out;
  }

 private:
  nn::Layer& layer_;
  bool bias_;
  nn::FeedBlock::Options block_;
  std::vector<std::pair<std::string, std::shared_ptr<nn::Linear>>> projections_;
  std::vector<std::pair<std::string, std::shared_ptr<nn::FeedBlock>>> blocks_;
};

}  // namespace gtrain::models
