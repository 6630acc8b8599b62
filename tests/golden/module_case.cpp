#include "golden/module_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <regex>
#include <set>
#include <stdexcept>

#include "gtrain/train/optimizer.h"
#include "support/name_page.h"

namespace gtrain::golden {
namespace {

// Rules in order; each replaces what it matches.
const std::vector<std::pair<std::regex, std::string>>& rules() {
  static const std::vector<std::pair<std::regex, std::string>> table = [] {
    const std::vector<std::pair<std::string, std::string>> text{
        {R"(^layers\.(\d+)\.)", "layer_$1."},
        {R"(local_model\.([ABCDE])\.)", "local.$1."},
        {R"(local_model\.bn_node_x)", "local.norm_x"},
        {R"(local_model\.bn_edge_e)", "local.norm_e"},
        {R"(local_model\.nn\.0)", "local.mlp_0"},
        {R"(local_model\.nn\.2)", "local.mlp_1"},
        {R"(local_model\.mlp_r_ij\.0)", "local.gate.linear_0"},
        {R"(local_model\.mlp_r_ij\.2)", "local.gate.linear_1"},
        {R"(local_model\.mlp\.0)", "local.mlp_0"},
        {R"(local_model\.mlp\.1)", "local.norm"},
        {R"(local_model\.mlp\.4)", "local.mlp_1"},
        {R"(local_model\.lin_edge\.)", "local.edge_"},
        {R"(local_model\.att_src)", "local.attend_source"},
        {R"(local_model\.att_dst)", "local.attend_target"},
        {R"(local_model\.att_edge)", "local.attend_edge"},
        {R"(local_model\.edge_encoder)", "local.edge"},
        {R"(local_model\.(pre|post)_nns\.0\.0)", "local.$1"},
        {R"(local_model\.lin\.)", "local."},
        {R"(local_model\.bias)", "local.bias"},
        {R"(self_attn\.to_(q|k|v|out)\.)", "attention.$1."},
        {R"(self_attn\.fast_attention\.projection_matrix)", "attention.projection"},
        {R"(self_attn\.ds\.EquivLinear-(\d+)\.)", "deep_sets.layer_$1."},
        {R"(self_attn\.bn_layers\.(\d+)\.)", "deep_sets.norm_$1."},
        {R"(self_attn\.in_proj_)", "attention.in_"},
        {R"(self_attn\.out_proj\.)", "attention.out_"},
        {R"(norm1_local)", "norm_local"},
        {R"(norm1_attn)", "norm_attention"},
        {R"(norm2)", "norm_out"},
        {R"(ff_linear1)", "feed_0"},
        {R"(ff_linear2)", "feed_1"},
        {R"(^encoder\.edge_encoder\.bond_embedding_list\.(\d+)\.weight)",
         "features.edge.column_$1"},
        {R"(^encoder\.node_encoder\.encoder1\.atom_embedding_list\.(\d+)\.weight)",
         "features.node.column_$1"},
        {R"(^encoder\.edge_encoder\.encoder\.)", "features.edge."},
        {R"(^encoder\.node_encoder\.encoder1\.encoder\.)", "features.node."},
        {R"(^encoder\.node_encoder\.linear_x)", "features.node"},
        {R"(^encoder\.node_encoder\.(linear_A|pe_encoder|raw_norm))", "features.encoder_0.$1"},
        {R"(^encoder\.node_encoder\.encoder2\.)", "features.encoder_0."},
        {R"(^encoder\.node_encoder\.encoder3\.)", "features.encoder_1."},
        {R"(sign_inv_net\.enc\.layers\.(\d+)\.nn\.lins\.)", "phi_$1.linear_"},
        {R"(sign_inv_net\.enc\.layers\.(\d+)\.nn\.bns\.)", "phi_$1.norm_"},
        {R"(sign_inv_net\.enc\.bns\.)", "norm_"},
        {R"(sign_inv_net\.rho\.lins\.)", "rho.linear_"},
        {R"(sign_inv_net\.rho\.bns\.)", "rho.norm_"},
        {R"(linear_encoder_eigenvec)", "linear_0"},
        {R"(linear_A)", "set_0"},
        {R"(pe_encoder\.1\.)", "set_1."},
        {R"(pe_encoder\.3\.)", "set_2."},
        {R"(pe_encoder\.(weight|bias))", "linear_0.$1"},
        {R"(raw_norm)", "norm"},
        {R"(^post_mp\.FC_layers\.(\d+))", "head.linear_$1"},
        {R"(^post_mp\.layer_post_mp\.model\.0\.Layer_(\d+)\.layer\.model)", "head.linear_$1"},
        {R"(^post_mp\.layer_post_mp\.model\.\d+\.model)", "head.linear_last"},
    };
    std::vector<std::pair<std::regex, std::string>> out;
    for (const auto& [from, to] : text) out.emplace_back(std::regex(from), to);
    return out;
  }();
  return table;
}

// Parameters of a branch that the reference builds and never runs.
bool unused(const Case& c, const std::string& key) {
  const auto& list = c.info().at("params_without_grad");
  return std::find(list.begin(), list.end(), key) != list.end() ||
         (key.find(".running_") != std::string::npos && !c.has("buffer_after." + key));
}

std::map<std::string, at::Tensor> tensors_of(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> all;
  for (const auto& p : module.named_parameters()) all[p.key()] = p.value();
  for (const auto& b : module.named_buffers()) all[b.key()] = b.value();
  return all;
}

// A name that depends on the module: the last head layer, one table or one vector.
std::string resolve(std::string name, const std::map<std::string, at::Tensor>& known) {
  if (const auto at = name.find("linear_last"); at != std::string::npos) {
    std::int64_t last = 0;
    while (known.contains(fmt::format("head.linear_{}.weight", last + 1))) ++last;
    name.replace(at, 11, fmt::format("linear_{}", last));
  }
  // PNA's last layer is called as the one layer of GCN and GAT is.
  for (const char* tensor : {"local.weight", "local.bias"}) {
    const auto at = name.find(tensor);
    if (at != std::string::npos && !known.contains(name)) name.insert(at + 6, "out.");
  }
  for (const char* part : {"features.node.", "features.edge."}) {
    if (name != std::string(part) + "weight" || known.contains(name)) continue;
    for (const char* other : {"column_0", "vector"}) {
      if (known.contains(std::string(part) + other)) return std::string(part) + other;
    }
  }
  return name;
}

std::set<std::string> keys_of(const std::map<std::string, at::Tensor>& tensors) {
  std::set<std::string> out;
  for (const auto& [name, tensor] : tensors) out.insert(name);
  return out;
}

std::unique_ptr<support::NamePage>& held_page() {
  static std::unique_ptr<support::NamePage> page;
  return page;
}

// Whether the page gives the tensor this name and no other; a layer alone counts as the first.
void hold_against_page(const std::string& reference, const std::string& name,
                       const std::set<std::string>& known) {
  std::set<std::string> layers;
  for (const std::string& own : known) layers.insert("layer_0." + own);
  std::set<std::string> found = held_page()->names_of(reference, known);
  for (const char* layer : {"layers.0.", "convs.0."}) {
    for (const std::string& own : held_page()->names_of(layer + reference, layers)) {
      found.insert(own.substr(std::string("layer_0.").size()));
    }
  }
  if (found == std::set<std::string>{name}) return;
  throw std::runtime_error(
      fmt::format("names: {} is {} here; the page says {}", reference, name,
                  found.empty() ? "nothing" : fmt::format("{}", fmt::join(found, ", "))));
}

}  // namespace

void hold_names(const std::filesystem::path& page) {
  held_page() = std::make_unique<support::NamePage>(page);
}

std::string gps_name(const std::string& reference) {
  // GINE's eps is a constant 0 there; PNA's degrees scale nothing with the identity scaler alone.
  for (const char* ignored :
       {"num_batches_tracked", "local_model.eps", "avg_deg_lin", "avg_deg_log"}) {
    if (reference.ends_with(ignored)) return {};
  }
  if (reference.find("sign_inv_net") != std::string::npos && reference.ends_with(".eps")) return {};
  std::string name = reference;
  for (const auto& [from, to] : rules()) name = std::regex_replace(name, from, to);
  static const std::regex projection(R"(local\.([ABCDE])\.)");
  std::smatch m;
  if (std::regex_search(name, m, projection)) {
    name[static_cast<std::size_t>(m.position(1))] =
        static_cast<char>(std::tolower(static_cast<unsigned char>(m.str(1)[0])));
  }
  return name;
}

std::string parameter_name(const torch::nn::Module& module, const std::string& name) {
  return resolve(name, tensors_of(module));
}

void load(const Case& c, torch::nn::Module& module, const NameMap& names, at::ScalarType type) {
  module.to(type);
  const auto known = tensors_of(module);
  std::set<std::string> left = keys_of(known);
  // The state of sparsify's gates is no weight of anybody's model.
  for (const auto& b : module.named_buffers()) {
    if (b.key().find("_gate.") != std::string::npos) left.erase(b.key());
  }
  const at::NoGradGuard guard;
  for (const char* kind : {"param.", "buffer."}) {
    for (const std::string& key : c.keys(kind)) {
      const std::string raw = names(key);
      if (raw.empty()) continue;
      const std::string name = resolve(raw, known);
      const auto it = known.find(name);
      if (it == known.end() && unused(c, key)) continue;
      if (it == known.end()) throw Skip{"gtrain has no counterpart of " + key};
      if (held_page() != nullptr) {
        for (const std::string& one : c.origin(kind + key)) {
          hold_against_page(one.substr(std::string(kind).size()), name, keys_of(known));
        }
      }
      const at::Tensor value = c.input(kind + key, type);
      if (value.sizes() != it->second.sizes()) throw Skip{"another shape of " + key};
      it->second.copy_(value);
      left.erase(name);
    }
  }
  if (!left.empty()) throw Skip{"the reference has no counterpart of " + *left.begin()};
}

void compare_module(const Case& c, Checker& checker, torch::nn::Module& module,
                    const NameMap& names, at::ScalarType type) {
  const auto known = tensors_of(module);
  for (const std::string& key : c.keys("param.")) {
    const std::string raw = names(key);
    if (raw.empty()) continue;
    const auto it = known.find(resolve(raw, known));
    if (it == known.end()) continue;  // unused, see load
    const at::Tensor& p = it->second;
    const at::Tensor got = p.grad().defined() ? p.grad() : at::zeros_like(p);
    const bool reached = c.expects("grad." + key, type);
    checker.close("grad." + key, got,
                  reached ? c.expected("grad." + key, type) : at::zeros_like(got),
                  tolerance(c, "grad", type));
  }
  for (const std::string& key : c.keys("buffer_after.")) {
    const std::string raw = names(key);
    if (raw.empty()) continue;
    const auto it = known.find(resolve(raw, known));
    if (it == known.end()) continue;
    checker.close("buffer_after." + key, it->second, c.expected("buffer_after." + key, type),
                  tolerance(c, "buffer_after", type));
  }
}

void compare_optimizer(const Case& c, Checker& checker, torch::nn::Module& module,
                       const std::function<at::Tensor()>& loss, at::ScalarType type) {
  if (!c.expects("adamw.losses", type)) return;
  const auto& o = c.info().at("optimizer");
  train::AdamWOptions options;
  options.lr = o.at("lr").get<double>();
  options.weight_decay = o.at("weight_decay").get<double>();
  options.beta1 = o.at("betas").at(0).get<double>();
  options.beta2 = o.at("betas").at(1).get<double>();
  options.eps = o.at("eps").get<double>();
  std::vector<train::Parameter> parameters;
  for (const auto& p : module.named_parameters()) parameters.push_back({p.key(), p.value()});
  train::Optimizer optimizer(options, parameters);
  const at::Tensor want = c.expected("adamw.losses", type);
  const at::Tensor got = at::zeros_like(want);
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    optimizer.zero_grad();
    const at::Tensor value = loss();
    got[i] = value.item<double>();
    if (i + 1 < want.numel()) {
      value.backward();
      optimizer.step(options.lr, 0.0);
    }
  }
  checker.close("adamw.losses", got, want, tolerance(c, "adamw", type));
}

Batch read_batch(const Case& c, const std::string& prefix, at::ScalarType type) {
  Batch out;
  data::GraphBatch& b = out.batch;
  const at::Tensor edge_index = c.input(prefix + "edge_index", type);
  b.source = edge_index[0].contiguous();
  b.target = edge_index[1].contiguous();
  b.graph = c.input(prefix + "batch", type);
  if (c.has(prefix + "x")) b.node = c.input(prefix + "x", type);
  if (c.has(prefix + "edge_attr")) b.edge = c.input(prefix + "edge_attr", type);
  const std::int64_t graphs = c.input(prefix + "ptr", type).numel() - 1;
  out.permutation = data::finish(b, b.graph.numel(), graphs);
  return out;
}

std::vector<at::Tensor> read_masks(const Case& c, const at::Tensor& permutation) {
  std::vector<at::Tensor> masks;
  if (!c.info().contains("dropout_sites")) return masks;
  for (const auto& site : c.info().at("dropout_sites")) {
    const std::string key = "mask." + site.at("site").get<std::string>();
    if (!c.has(key)) continue;
    at::Tensor mask = c.input(key, at::kFloat);
    if (key.ends_with("local_model#1") && mask.size(0) == permutation.numel()) {
      mask = mask.index_select(0, permutation);
    }
    masks.push_back(mask);
  }
  return masks;
}

}  // namespace gtrain::golden
