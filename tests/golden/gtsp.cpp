// The four rules of GTSP in their authors' form (quirks: reference): tokens and drop path of one
// layer, heads of a small network before and after one death and growth, weights along a schedule.
#include <fmt/format.h>

#include <regex>

#include "golden/layer_case.h"
#include "gtrain/models/gps.h"
#include "gtrain/ops/segment.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/schedule.h"
#include "gtrain/sparsify/token_gate.h"

namespace gtrain::golden {
namespace {

constexpr Tolerance kExact{1e-12, 0};  // of masks

// PyG's GPSConv with GIN inside.
std::string gtsp_name(const std::string& reference) {
  if (reference.ends_with("num_batches_tracked") || reference.ends_with("conv.eps")) return {};
  static const std::vector<std::pair<std::regex, std::string>> rules = [] {
    const std::vector<std::pair<std::string, std::string>> text{
        {R"(^convs\.(\d+)\.)", "layer_$1."},       {R"(conv\.nn\.0)", "local.mlp_0"},
        {R"(conv\.nn\.2)", "local.mlp_1"},         {R"(attn\.in_proj_)", "attention.in_"},
        {R"(attn\.out_proj\.)", "attention.out_"}, {R"(norm1\.module)", "norm_local"},
        {R"(norm2\.module)", "norm_attention"},    {R"(norm3\.module)", "norm_out"},
        {R"((^|\.)mlp\.0)", "$1feed_0"},           {R"((^|\.)mlp\.3)", "$1feed_1"},
        {R"(gumbel\.)", "attention.token_gate."},  {R"(^lin\.)", "head.linear_0."},
    };
    std::vector<std::pair<std::regex, std::string>> out;
    for (const auto& [from, to] : text) out.emplace_back(std::regex(from), to);
    return out;
  }();
  std::string name = reference;
  for (const auto& [from, to] : rules) name = std::regex_replace(name, from, to);
  return name;
}

models::GpsOptions layer_options(const nlohmann::json& config) {
  models::GpsOptions o;
  o.width = config.at("dim").get<std::int64_t>();
  o.heads = config.at("heads").get<std::int64_t>();
  o.local = "gin";
  return o;
}

nn::Edges edges_of(const data::GraphBatch& b) {
  return {b.source, b.target, b.in_start, b.out_start, b.out_edge};
}

sparsify::Options one_rule(sparsify::Rule rule, double keep) {
  sparsify::timing_of(rule).keep = keep;
  sparsify::Options out;
  out.rules.push_back(std::move(rule));
  return out;
}

// Output and cotangent of one tensor, under the names of layers with two.
Case as_layer_case(const Case& c) {
  Case out = c;
  out.rename([](const std::string& name) {
    if (name == "output") return std::string("output.x");
    return name == "input.cotangent" ? name + "_x" : name;
  });
  return out;
}

template <class Gates>
void check_one_layer(const Case& c, Checker& checker, at::ScalarType type, Gates gates) {
  models::GpsLayer layer(layer_options(c.info().at("config")));
  const auto after = gates(layer);
  load(c, layer, gtsp_name, type);
  const Batch read = read_batch(c, "input.", type);
  const std::vector<at::Tensor> masks;
  bool first = true;
  const LayerCase one{layer, gtsp_name, read, masks,
                      [&](const at::Tensor& x, const at::Tensor& e, nn::Context& context) {
                        const nn::Edges edges = edges_of(read.batch);
                        const auto out = layer.forward(
                            {.x = x, .e = e, .edges = edges, .graph_start = read.batch.graph_start},
                            context);
                        if (std::exchange(first, false)) after();
                        return out;
                      }};
  check_layer(c, checker, one, type);
}

void check_tokens(const Case& given, Checker& checker, at::ScalarType type) {
  const Case c = as_layer_case(given);
  const auto& config = c.info().at("config");
  check_one_layer(c, checker, type, [&](torch::nn::Module& layer) {
    const double keep = config.at("token_ratio").get<double>();
    sparsify::TokenRule rule;
    rule.temperature = config.at("tau").get<double>();
    rule.quirks = {"reference"};
    sparsify::attach(layer, one_rule(rule, keep));
    auto* gate = dynamic_cast<sparsify::LearnedSelection*>(
        sparsify::sites(layer).at(0).gated->token_gate.get());
    gate->set_keep(keep);
    gate->exponential = c.input("input.exponential", type);
    return [&checker, &given, gate, type] {
      checker.close("output.token_mask", gate->mask, given.expected("output.token_mask", type),
                    tolerance(given, "output", type));
    };
  });
}

void check_drop_path(const Case& given, Checker& checker, at::ScalarType type) {
  const Case c = as_layer_case(given);
  check_one_layer(c, checker, type, [&](torch::nn::Module& layer) {
    const double keep = 1 - c.info().at("config").at("drop_path").get<double>();
    sparsify::LayerRule rule;
    rule.quirks = {"reference"};
    sparsify::attach(layer, one_rule(rule, keep));
    auto* gate =
        dynamic_cast<sparsify::BranchDrop*>(sparsify::sites(layer).at(0).gated->branch_gate.get());
    gate->set_keep(keep);
    gate->bernoulli = c.input("input.bernoulli", type);
    return [] {};
  });
}

// Two layers, sum pooling, one linear layer.
class HeadNet final : public torch::nn::Module {
 public:
  HeadNet(const models::GpsOptions& options, std::int64_t count, std::int64_t outputs) {
    for (std::int64_t l = 0; l < count; ++l) {
      layers.push_back(
          register_module(fmt::format("layer_{}", l), std::make_shared<models::GpsLayer>(options)));
    }
    const auto head = register_module("head", std::make_shared<torch::nn::Module>());
    last = head->register_module("linear_0", std::make_shared<nn::Linear>(options.width, outputs));
  }
  at::Tensor forward(const data::GraphBatch& b, nn::Context& context) {
    const nn::Edges edges = edges_of(b);
    models::GpsInput input{.x = b.node, .e = {}, .edges = edges, .graph_start = b.graph_start};
    for (const auto& layer : layers) std::tie(input.x, input.e) = layer->forward(input, context);
    return last->forward(ops::segment_sum(input.x, b.graph_start));
  }
  std::vector<std::shared_ptr<models::GpsLayer>> layers;
  std::shared_ptr<nn::Linear> last;
};

at::Tensor whole(const at::Tensor& mask, std::int64_t width) {
  return sparsify::head_rows(mask, width).expand({-1, width});
}

void check_heads(const Case& c, Checker& checker, at::ScalarType type) {
  const auto& config = c.info().at("config");
  const auto& before = config.at("heads_before");
  const models::GpsOptions o = layer_options(config);
  HeadNet net(o, static_cast<std::int64_t>(before.size()), c.input("param.lin.bias", type).numel());
  sparsify::HeadRule rule;
  rule.exchange = config.at("growth_death_ratio").get<double>();
  rule.quirks = {"reference"};
  sparsify::attach(net, one_rule(rule, config.at("atten_density").get<double>()));
  load(c, net, gtsp_name, type);

  std::vector<sparsify::HeadMask*> gates;
  for (std::size_t l = 0; l < net.layers.size(); ++l) {
    const std::string name = fmt::format("convs.{}.attn.in_proj_weight", l);
    const sparsify::Site site = sparsify::sites(net).at(l);
    gates.push_back(dynamic_cast<sparsify::HeadMask*>(site.gated->head_gate.get()));
    gates[l]->mask.zero_();
    for (const auto& head : before.at(name)) gates[l]->mask[head.get<std::int64_t>()].fill_(1);
    checker.close("mask_before", whole(gates[l]->mask, o.width),
                  c.expected("mask_before." + name, type), kExact);
    const at::NoGradGuard guard;
    dynamic_cast<nn::Attention&>(*site.module)
        .in_weight.mul_(sparsify::head_rows(gates[l]->mask, o.width));
    gates[l]->watch(true);
  }

  nn::Context context;
  context.training = c.info().at("mode") == "train";
  const Batch read = read_batch(c, "input.", type);
  const at::Tensor output = net.forward(read.batch, context);
  const at::Tensor loss = at::cross_entropy_loss(output, c.input("input.y", type));
  loss.backward();
  checker.close("output", output, c.expected("output", type), tolerance(c, "output", type));
  checker.close("loss", loss, c.expected("loss", type), tolerance(c, "loss", type));
  compare_module(c, checker, net, gtsp_name, type);
  for (std::size_t l = 0; l < gates.size(); ++l) {
    const Tolerance allowed = tolerance(c, "grad", type);
    checker.close("grad_scores", gates[l]->death,
                  c.expected(fmt::format("grad_scores.{}", l), type), allowed);
    checker.close("grad_norm", gates[l]->growth, c.expected(fmt::format("grad_norm.{}", l), type),
                  allowed);
    const double keep = gates[l]->mask.mean().item<double>();
    gates[l]->change(keep, rule.exchange, 0);
    checker.close("mask_after", whole(gates[l]->mask, o.width),
                  c.expected(fmt::format("mask_after.convs.{}.attn.in_proj_weight", l), type),
                  kExact);
  }
}

// The number behind `before` in a note of the case.
double noted(const Case& c, const char* note, const std::string& before) {
  const std::string text = c.info().at("notes").at(note).get<std::string>();
  std::smatch m;
  if (!std::regex_search(text, m, std::regex(before + R"( (\d+(\.\d+)?))"))) {
    throw Skip{fmt::format("notes.{} does not say {}", note, before)};
  }
  return std::stod(m[1]);
}

// Masks, in single precision alone: the weights change by masking only.
void check_weights(const Case& c, Checker& checker) {
  const auto& config = c.info().at("config");
  sparsify::WeightRule rule;
  rule.scope = "global";
  rule.quirks = {"reference"};
  std::vector<sparsify::WeightMask::Group> groups;
  for (const std::string& name : c.keys("input.grad.")) {
    groups.push_back({name, {{name, c.input("param." + name, at::kFloat).clone(), {}}}});
  }
  sparsify::WeightMask mask(rule, std::move(groups));
  const auto gradient = [&](const std::string& name) {
    return c.input("input.grad." + name, at::kFloat);
  };
  const auto batches = static_cast<std::int64_t>(noted(c, "schedule", "loader of"));
  const auto period = static_cast<std::int64_t>(noted(c, "cosine", "T_max"));
  rule.regrow = noted(c, "cosine", "from");
  const auto updates = [&](const char* key) {
    return config.at(key).get<std::int64_t>() * batches;
  };
  const sparsify::ReferencePruning schedule{
      updates("init_prune_epoch"), updates("final_prune_epoch"),
      config.at("update_frequency").get<std::int64_t>(), config.at("final_density").get<double>(),
      config.at("init_density").get<double>()};
  const auto compare = [&](std::int64_t step, const char* kind) {
    for (const auto& group : mask.groups()) {
      const std::string key = fmt::format("step{}.mask_{}.{}", step, kind, group.name);
      if (c.has(key)) {
        checker.close(key, group.parts[0].mask, c.expected(key, at::kFloat), kExact);
      }
    }
  };
  for (const auto& at : c.info().at("trace")) {  // the steps that were run
    const auto step = at.at("step").get<std::int64_t>();
    if (!schedule.due(step)) checker.fail(fmt::format("step {} is none of the schedule", step));
    const double share = sparsify::cosine_share(rule.regrow, step, period);
    checker.close("prune_rate", share, at.at("prune_rate").get<double>(), {1e-9, 0});
    mask.prune_as_reference(schedule.density(step));
    compare(step, "pruned");
    mask.exchange_as_reference(share, gradient);
    compare(step, "regrown");
    checker.close("density", mask.density(), at.at("density").get<double>(), {1e-6, 0});
  }
  for (const auto& group : mask.groups()) {
    const std::string key = "final.param." + group.name;
    checker.close(key, group.parts[0].value, c.expected(key, at::kFloat), kExact);
  }
}

}  // namespace

void check_gtsp(const Case& c, Checker& checker) {
  const auto both = [&](auto check) {
    check(c, checker, at::kDouble);
    check(c, checker, at::kFloat);
  };
  const std::string kind = c.name().substr(std::string("gtsp_").size());
  if (kind.starts_with("token")) return both(check_tokens);
  if (kind.starts_with("layer")) return both(check_drop_path);
  if (kind.starts_with("head")) return both(check_heads);
  if (kind.starts_with("weight")) return check_weights(c, checker);
  throw Skip{"no such rule in gtrain"};
}

}  // namespace gtrain::golden
