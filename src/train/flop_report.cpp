#include "flop_report.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/sparsify/compact.h"
#include "spread.h"

namespace gtrain::train {
namespace {

std::string module_of(const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

// "layer_*.attention" for "layer_3.attention.gate"; what has no layer is the model's own.
std::string row_of(const std::string& module) {
  if (module.empty()) return "(model)";
  const std::size_t first = module.find('.');
  std::string head = module.substr(0, first);
  const std::size_t digits = head.find_last_not_of("0123456789") + 1;
  if (digits < head.size() && digits > 0) head = head.substr(0, digits) + "*";
  if (first == std::string::npos) return head;
  return head + module.substr(first, module.find('.', first + 1) - first);
}

double of(const ops::Flops& flops, ops::Work work) {
  return flops.of[static_cast<std::size_t>(work)];
}

}  // namespace

ops::Flops FlopReport::total() const {
  ops::Flops sum;
  for (const auto& [_, flops] : modules) sum += flops;
  return sum;
}

FlopMeter::FlopMeter(models::Model& model) : model_(model) {
  for (const auto& p : model.named_parameters()) count_.name(p.value(), module_of(p.key()));
  for (const auto& m : model.named_modules()) count_.name(*m.value(), m.key());
}

FlopReport FlopMeter::report(std::int64_t graphs) const {
  FlopReport out{count_.modules(), graphs, count_.unknown()};
  const double share = 1.0 / static_cast<double>(std::max<std::int64_t>(1, graphs));
  const std::vector<sparsify::Cut> dead = sparsify::dead_heads(model_);
  for (auto& [module, flops] : out.modules) {
    for (double& f : flops.of) f *= share;
    flops.zeros *= share;
    for (const sparsify::Cut& cut : dead) {
      if (std::find(cut.modules.begin(), cut.modules.end(), module) == cut.modules.end()) continue;
      const double gone = 1 - static_cast<double>(cut.after) / static_cast<double>(cut.before);
      flops.zeros +=
          gone * (of(flops, ops::Work::kProduct) - flops.zeros + of(flops, ops::Work::kAttention));
      if (module == cut.path) flops.zeros += gone * of(flops, ops::Work::kElement);
    }
  }
  return out;
}

FlopReport count_flops(models::Model& model, const Recipe& recipe, const Material& material,
                       std::int64_t most) {
  const data::Dataset& dataset = material.dataset();
  std::vector<std::int64_t> ids{0};
  if (!dataset.single_graph()) ids = spread(material.split.train, most);
  const std::size_t count = ids.size();
  const auto step = static_cast<std::size_t>(recipe.dataset.batch_size);
  const at::NoGradGuard no_grad;
  model.eval();
  const FlopMeter meter(model);
  for (std::size_t first = 0; first < count; first += step) {
    const std::span<const std::int64_t> part(ids.data() + first, std::min(step, count - first));
    nn::Context context;
    model.forward(data::collate(dataset, material.encodings, part), context);
  }
  return meter.report(static_cast<std::int64_t>(count));
}

Json to_json(const ops::Flops& flops) {
  Json out = Json::object();
  for (std::size_t i = 0; i < ops::kWorks; ++i) {
    out[std::string(ops::name_of(static_cast<ops::Work>(i)))] = flops.of[i];
  }
  return out;
}

std::string flop_table(const FlopReport& report) {
  std::map<std::string, ops::Flops> rows;
  for (const auto& [module, flops] : report.modules) rows[row_of(module)] += flops;
  std::string out = fmt::format("  {:<28}", "FLOPs a graph");
  for (std::size_t i = 0; i < ops::kWorks; ++i) {
    out += fmt::format(" {:>10}", ops::name_of(static_cast<ops::Work>(i)));
  }
  out += fmt::format(" {:>10}\n", "all");
  const auto line = [&](const std::string& name, const ops::Flops& flops) {
    out += fmt::format("  {:<28}", name);
    for (const double f : flops.of) out += f > 0 ? fmt::format(" {:>10.3g}", f) : "          -";
    out += fmt::format(" {:>10.3g}\n", flops.total());
  };
  for (const auto& [name, flops] : rows) line(name, flops);
  line("all", report.total());
  return out;
}

}  // namespace gtrain::train
