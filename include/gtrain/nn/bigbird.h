// Attention over the pattern of BigBird (Zaheer et al. 2020) in its node form: in the order of the
// nodes of a graph, row i attends to the nodes at most `window` places away (itself included), to
// `random` other nodes drawn once, and to the first `global` nodes, which attend to all. The cost
// is linear in the nodes. Unlike the original it works on nodes, not on blocks of 3, on one random
// draw for all heads, and a graph of any size needs no padding: small graphs have all their pairs.
// The pattern is a function of a graph's size and of `seed`, whatever else is in the batch.
#pragma once

#include "gtrain/nn/attention.h"
#include "gtrain/nn/form.h"
#include "gtrain/ops/attention_pattern.h"

namespace gtrain::nn {

// Built once a batch, shared by all layers.
ops::AttentionPattern bigbird_pattern(const at::Tensor& graph_start, const BigBirdOptions& options);

// What scripted layers take as groups, an expression over `rows`: of the fused form the pattern
// itself, built once a forward.
std::string bigbird_groups_script(Form form, const BigBirdOptions& options);

// nn/attention.h over GlobalInput::pattern, which must be bigbird_pattern of the same options.
class BigBird final : public Attention {
 public:
  BigBird(std::int64_t width, std::int64_t heads, double dropout, const BigBirdOptions& options);

 protected:
  at::Tensor mix(const at::Tensor& qkv, const GlobalInput& input, Context& context) const override;
  MaskScript mask_script() const override;
  std::string mix_script() const override;

 private:
  BigBirdOptions options_;
};

}  // namespace gtrain::nn
