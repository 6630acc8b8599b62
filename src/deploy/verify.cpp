#include "gtrain/deploy/verify.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/models/in_double.h"

namespace gtrain::deploy {
namespace {

constexpr double kFloatTolerance = 1e-5, kBfloatTolerance = 2e-2, kGapFactor = 10.0;

at::Tensor output_of(models::Model& model, const ExportSpec& spec, const Sample& sample) {
  nn::Context context;
  at::Tensor out = model.forward(sample.batch, context).to(at::kDouble);
  if (sample.rows.defined()) out = out.index_select(0, sample.rows);
  if (spec.target_mean.empty()) return out;
  return out * at::tensor(spec.target_deviation, at::kDouble) +
         at::tensor(spec.target_mean, at::kDouble);
}

std::vector<at::Tensor> outputs_of(models::Model& model, const ExportSpec& spec,
                                   const std::vector<Sample>& samples) {
  std::vector<at::Tensor> out;
  for (const Sample& sample : samples) out.push_back(output_of(model, spec, sample));
  return out;
}

double largest(const at::Tensor& values) {
  if (values.numel() == 0) return 0.0;
  const double out = values.abs().max().item<double>();
  return std::isnan(out) ? std::numeric_limits<double>::infinity() : out;
}

double distance(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  double out = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const at::Tensor a = got[i].to(at::kDouble), b = want[i];
    const at::Tensor same = a.eq(b) | (a.isnan() & b.isnan());
    out = std::max(out, largest(at::where(same, at::zeros_like(b), a - b)));
  }
  return out;
}

[[noreturn]] void refuse(const std::string& what) {
  throw base::Error(base::ExitCode::kBug, "export: " + what);
}

void check_shapes(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  if (got.size() != want.size()) {
    refuse(fmt::format("the file gave {} outputs for {} calls", got.size(), want.size()));
  }
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (got[i].sizes() == want[i].sizes()) continue;
    refuse(fmt::format("the file gives [{}]; the model gives [{}]", fmt::join(got[i].sizes(), ", "),
                       fmt::join(want[i].sizes(), ", ")));
  }
}

double gap_of(models::Model& model, const ExportSpec& spec, const std::vector<Sample>& samples,
              const std::vector<at::Tensor>& single, bool bfloat) {
  std::vector<at::Tensor> exact;
  {
    const models::InDouble scope(model);
    exact = outputs_of(model, spec, samples);
  }
  if (!bfloat) return distance(single, exact);
  const models::InDouble scope(model, /*rounded=*/true);
  return distance(outputs_of(model, spec, samples), exact);
}

}  // namespace

std::vector<at::Tensor> arguments_of(const data::GraphBatch& batch, const models::Model& model,
                                     Encodings encodings) {
  std::vector<at::Tensor> out{batch.node, at::stack({batch.source, batch.target}), batch.edge,
                              batch.graph};
  if (batch.pair.defined()) out.push_back(batch.pair.t().contiguous());
  if (encodings == Encodings::kInput) {
    for (const std::string& column : encoding_arguments(model)) {
      out.push_back(batch.encoding.at(column));
    }
  }
  return out;
}

Sample sample_of(const data::GraphBatch& batch, const models::Model& model, Encodings encodings) {
  return {arguments_of(batch, model, encodings), batch, {}};
}

Verified compare(models::Model& model, const ExportSpec& spec, const std::vector<Sample>& samples,
                 const std::vector<at::Tensor>& outputs) {
  const at::NoGradGuard guard;
  const std::vector<at::Tensor> want = outputs_of(model, spec, samples);
  check_shapes(outputs, want);
  Verified out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    out.graphs += samples[i].batch.graphs;
    const at::Tensor finite = want[i].isfinite();
    out.size = std::max(out.size, largest(at::where(finite, want[i], at::zeros_like(want[i]))));
  }
  const bool bfloat = spec.dtype == "bfloat16";
  out.calls = static_cast<std::int64_t>(samples.size());
  out.difference = distance(outputs, want);
  out.gap = gap_of(model, spec, samples, want, bfloat);
  const double tolerance = bfloat ? kBfloatTolerance : kFloatTolerance;
  out.bound = tolerance * std::max(1.0, out.size);
  if (std::isfinite(out.gap)) out.bound = std::max(out.bound, kGapFactor * out.gap);
  return out;
}

}  // namespace gtrain::deploy
