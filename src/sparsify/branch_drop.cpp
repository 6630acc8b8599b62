#include "gtrain/sparsify/branch_drop.h"

#include <ATen/ATen.h>

namespace gtrain::sparsify {

at::Tensor BranchDrop::through(const at::Tensor& update, const at::Tensor& graph_start,
                               nn::Context& context) {
  if (!context.training || keep_ >= 1 || update.is_meta()) return update;
  at::Tensor factor;  // [N, 1]
  if (bernoulli.defined()) {
    factor = bernoulli.to(update.scalar_type()) / keep_;
  } else {
    base::Random random(base::mix(context.key ^ stream_));
    factor = at::empty({update.size(0), 1}, at::kDouble);
    auto* f = factor.mutable_data_ptr<double>();
    const at::Tensor starts = graph_start.contiguous();
    const auto* start = starts.const_data_ptr<std::int64_t>();
    for (std::int64_t g = 0; g + 1 < starts.size(0); ++g) {
      double kept = random.uniform() < keep_ ? 1 / keep_ : 0;
      for (std::int64_t i = start[g]; i < start[g + 1]; ++i) {
        if (per_node_ && i > start[g]) kept = random.uniform() < keep_ ? 1 / keep_ : 0;
        f[i] = kept;
      }
    }
    factor = factor.to(update.scalar_type());
  }
  return update * factor;
}

std::string BranchDrop::script() const {
  return "def forward(self, update: Tensor) -> Tensor:\n"
         "    return update\n";
}

bool BranchConcrete::closed(const nn::Context&) const {
  return settled() && open.item<double>() == 0;
}

at::Tensor BranchConcrete::through(const at::Tensor& update, const at::Tensor&,
                                   nn::Context& context) {
  return awake() ? update * value(context) : update;
}

std::string BranchConcrete::script() const {
  return HardConcrete::script() +
         "def forward(self, update: Tensor) -> Tensor:\n"
         "    return update * self.value().to(update.dtype)\n";
}

}  // namespace gtrain::sparsify
