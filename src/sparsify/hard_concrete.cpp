#include "gtrain/sparsify/hard_concrete.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gtrain::sparsify {
namespace {

constexpr double kStretch = 2.0 / 3.0, kLow = -0.1, kHigh = 1.1, kStart = 1.5;
constexpr double kPace = 100;  // of a, to its parameter

std::int64_t phase_of(const at::Tensor& phase) {
  return phase.is_meta() ? 0 : phase.item<std::int64_t>();
}

}  // namespace

HardConcrete::HardConcrete(std::int64_t count) {
  log_alpha = parameter("log_alpha", {count});
  open = buffer("open", at::ones({count}, at::kFloat));
  phase = buffer("phase", at::zeros({}, at::kLong));
}

void HardConcrete::initialise(base::Random&) {
  const at::NoGradGuard guard;
  log_alpha.fill_(kStart / kPace);
}

at::Tensor HardConcrete::value(const nn::Context& context) const {
  if (!awake()) return open;
  at::Tensor a = logit();
  if (context.training) {
    base::Random random(base::mix(context.key ^ stream_));
    const at::Tensor noise = at::empty(log_alpha.sizes(), at::kDouble);
    auto* p = noise.mutable_data_ptr<double>();
    for (std::int64_t i = 0; i < noise.numel(); ++i) {
      const double u = std::min(std::max(random.uniform(), 1e-12), 1 - 1e-12);
      p[i] = std::log(u) - std::log1p(-u);
    }
    a = (a + noise.to(a.scalar_type())) / kStretch;
  }
  return (at::sigmoid(a) * (kHigh - kLow) + kLow).clamp(0, 1);
}

at::Tensor HardConcrete::logit() const { return log_alpha + log_alpha.detach() * (kPace - 1); }

at::Tensor HardConcrete::expected() const {
  return at::sigmoid(logit() - kStretch * std::log(-kLow / kHigh));
}

std::string HardConcrete::script() const {
  return "def value(self) -> Tensor:\n"
         "    if int(self.phase) == 1:\n"
         "        return torch.clamp(torch.sigmoid(self.log_alpha * 100.0) * 1.2 - 0.1, 0, 1)\n"
         "    return self.open\n";
}

void HardConcrete::wake() { phase.fill_(1); }

void HardConcrete::settle(const at::Tensor& which) {
  const at::NoGradGuard guard;
  open.copy_(which);
  phase.fill_(2);
}

bool HardConcrete::awake() const { return phase_of(phase) == 1; }
bool HardConcrete::settled() const { return phase_of(phase) == 2; }

}  // namespace gtrain::sparsify
