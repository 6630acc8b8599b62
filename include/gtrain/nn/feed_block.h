// What follows the attention of a post-norm transformer (GT, SAN): output projection, residual,
// norm, feed-forward, residual, norm, over rows of nodes or of edges. Not the attention itself.
//   b = Norm_0(a + O Drop(attended))      out = Norm_1(b + W_2 Drop(relu(W_1 b)))
// W_1 is [2D, D]. Nothing is dropped after O and after W_2.
#pragma once

#include <memory>
#include <string>

#include "gtrain/nn/form.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

class FeedBlock final : public Layer {
 public:
  struct Options {
    std::int64_t width = 0;
    std::string norm = "batch";  // of make_norm, but none that reads graphs
    bool residual = true;        // off: neither a nor b is added
    double dropout = 0.0;
  };
  explicit FeedBlock(const Options& options);
  // a (the block's input) [R, D], attended [R, D'] (undefined: zeros) -> [R, D]. D' is D, but where
  // heads of the attention were cut.
  at::Tensor forward(const at::Tensor& a, const at::Tensor& attended, Context& context);
  std::string script() const override;  // forward(a, attended)
  std::string fused_script() const override;

  // The projection O, whose columns are the heads' channels.
  const std::shared_ptr<Linear>& out() const { return out_; }

 private:
  std::string text(Form form) const;
  bool residual_;
  double dropout_;
  std::shared_ptr<Linear> out_, feed_0_, feed_1_;
  std::shared_ptr<Norm> norm_0_, norm_1_;
};

}  // namespace gtrain::nn
