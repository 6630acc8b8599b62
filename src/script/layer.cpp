#include "gtrain/script/layer.h"

#include <ATen/ATen.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/dense_chain.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/gated_layer.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/segment.h"
#include "gtrain/ops/varlen_attention.h"
#include "gtrain/script/packed.h"

namespace gtrain::script {
namespace {

at::Tensor given(const Maybe& t) { return t.value_or(at::Tensor()); }

ops::RowActivation activation_named(const std::string& name) {
  if (name == "none") return ops::RowActivation::kNone;
  if (name == "relu") return ops::RowActivation::kRelu;
  TORCH_CHECK(name == "gelu", "activation: got ", name, "; expected none, relu or gelu");
  return ops::RowActivation::kGelu;
}

std::int64_t largest(const at::Tensor& start) {
  const auto* s = start.const_data_ptr<std::int64_t>();
  std::int64_t most = 0;
  for (std::int64_t g = 0; g + 1 < start.numel(); ++g) most = std::max(most, s[g + 1] - s[g]);
  return most;
}

// Parameters that an op converts to the type of its rows.
void check_floating(at::TensorList parameters, const char* what) {
  for (const at::Tensor& t : parameters) {
    TORCH_CHECK(at::isFloatingType(t.scalar_type()), what, ": is ", t.scalar_type(),
                "; expected a floating type");
  }
}

// Rows as a matrix, for reductions over whatever stands behind them.
at::Tensor flat(const at::Tensor& x) {
  TORCH_CHECK(x.dim() >= 2 && at::isFloatingType(x.scalar_type()), "x: has shape ", x.sizes(),
              " and type ", x.scalar_type(), "; expected [N, ...] of a floating type");
  return x.flatten(1);
}

at::Tensor shaped_like(const at::Tensor& rows, const at::Tensor& x) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[0] = rows.size(0);
  return rows.reshape(sizes);
}

// Whatever stands before the channels as rows.
at::Tensor as_rows(const at::Tensor& x) { return x.dim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2); }

// ops::linear of such rows.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   bool relu) {
  TORCH_CHECK(x.dim() >= 1 && weight.dim() == 2, "linear: x has shape ", x.sizes(),
              " and the weight ", weight.sizes(), "; expected [..., K] and [O, K]");
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return ops::linear(as_rows(x), weight, bias, relu).view(sizes);
}

std::vector<ops::RowTerm> terms_of(at::TensorList terms, at::TensorList scales) {
  TORCH_CHECK(scales.empty() || scales.size() == terms.size(), "scales: are ", scales.size(),
              "; expected none, or one for each of ", terms.size(), " terms");
  std::vector<ops::RowTerm> out;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    out.push_back({terms[i], scales.empty() ? at::Tensor() : scales[i]});
  }
  return out;
}

ops::BatchNormState state_of(at::TensorList norm, const char* what) {
  TORCH_CHECK(norm.size() == 4, what, ": has ", norm.size(),
              " tensors; expected weight, bias, mean and variance");
  check_floating(norm, what);
  return {norm[0], norm[1], norm[2], norm[3]};
}

constexpr std::int64_t kRowBlock = 256;

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const Maybe& bias,
                  const std::string& activation) {
  const ops::RowActivation act = activation_named(activation);
  const at::Tensor y = product(x, weight, given(bias), act == ops::RowActivation::kRelu);
  if (act != ops::RowActivation::kGelu) return y;
  return ops::activate_rows(as_rows(y), {}, {.activation = act}).view(y.sizes());
}

at::Tensor linear_sum(const at::Tensor& x, const at::Tensor& weight, const Maybe& bias,
                      const std::string& activation, at::TensorList terms, at::TensorList scales) {
  const ops::RowActivation act = activation_named(activation);
  const std::vector<ops::RowTerm> added = terms_of(terms, scales);
  return ops::dense_chain(x, {{weight, given(bias), act}}, added);
}

at::Tensor feed_forward(const at::Tensor& x, const at::Tensor& weight_0, const Maybe& bias_0,
                        const std::string& activation, const at::Tensor& weight_1,
                        const Maybe& bias_1, at::TensorList terms, at::TensorList scales) {
  const ops::RowActivation act = activation_named(activation);
  const std::vector<ops::RowTerm> added = terms_of(terms, scales);
  return ops::dense_chain(x, {{weight_0, given(bias_0), act}, {weight_1, given(bias_1)}}, added);
}

at::Tensor activate(const at::Tensor& x, const std::string& activation, const Maybe& after) {
  return ops::activate_rows(x, {}, {.activation = activation_named(activation)}, given(after));
}

at::Tensor batch_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance) {
  check_floating({weight, bias, mean, variance}, "batch_norm");
  const at::Tensor y =
      ops::batch_norm(x, given(residual), {weight, bias, mean, variance}, /*training=*/false);
  // Without rows it is x; torch takes operators at their schema's word.
  return y.is_same(x) ? y.clone() : y;
}

at::Tensor layer_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias) {
  check_floating({weight, bias}, "layer_norm");
  return ops::layer_norm(x, given(residual), weight, bias);
}

at::Tensor graph_norm(const at::Tensor& x, const Maybe& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& batch) {
  check_floating({weight, bias}, "graph_norm");
  return ops::graph_norm(x, given(residual), weight, bias, graph_start(batch));
}

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& batch, std::int64_t heads,
                            const Maybe& bias) {
  ops::VarlenOptions options;
  if (bias) check_floating(*bias, "bias");
  options.bias.pair = given(bias);
  return ops::varlen_attention(qkv, graph_start(batch), heads, options);
}

at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& batch, std::int64_t heads, bool padded) {
  check_floating(projection, "projection");
  const at::Tensor start = graph_start(batch);
  ops::LinearAttentionOptions options;
  if (padded) options.padded_length = largest(start);
  return ops::linear_attention(qkv, projection, start, heads, options);
}

std::tuple<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                  const at::Tensor& v, const Maybe& edge,
                                                  const at::Tensor& source,
                                                  const at::Tensor& target, std::int64_t heads,
                                                  double clamp, double epsilon, bool edge_output,
                                                  double scale) {
  ops::EdgeAttentionOptions options;
  options.heads = heads;
  options.scale = scale;
  options.clamp = clamp;
  options.epsilon = epsilon;
  options.edge_output = edge_output;
  auto [out, w] = ops::edge_attention(q, k, v, given(edge),
                                      forward_pattern(source, target, q.size(0)), options);
  return {out, w.defined() ? w : at::empty({0, q.size(1)}, q.options())};
}

at::Tensor gine(const at::Tensor& x, const at::Tensor& edge, const at::Tensor& source,
                const at::Tensor& target) {
  return ops::gine_aggregate(x, edge, forward_edges(source, target, x.size(0)));
}

std::tuple<at::Tensor, at::Tensor> gated_gcn(const at::Tensor& abde, const at::Tensor& c,
                                             const at::Tensor& source, const at::Tensor& target) {
  return ops::gated_gcn(abde, c, forward_edges(source, target, abde.size(0)));
}

std::tuple<at::Tensor, at::Tensor> gated_layer(const at::Tensor& x, const at::Tensor& e,
                                               at::TensorList weights, at::TensorList norm_x,
                                               at::TensorList norm_e, const std::string& activation,
                                               const at::Tensor& source, const at::Tensor& target) {
  TORCH_CHECK(weights.size() == 4, "weights: are ", weights.size(), "; expected 4");
  ops::GatedLayer layer;
  layer.nodes = {weights[0], weights[1]};
  layer.edges = {weights[2], weights[3]};
  layer.norm_x = state_of(norm_x, "norm_x");
  layer.norm_e = state_of(norm_e, "norm_e");
  layer.activation = activation_named(activation);
  return ops::gated_layer(x, e, layer, forward_edges(source, target, x.size(0)));
}

at::Tensor aggregate(const at::Tensor& x, const at::Tensor& self, const at::Tensor& weight,
                     const at::Tensor& source, const at::Tensor& target) {
  return ops::weighted_aggregate(x, self, weight, forward_edges(source, target, x.size(0)));
}

at::Tensor reduce(const at::Tensor& x, const at::Tensor& index, std::int64_t count,
                  const std::string& kind) {
  const at::Tensor rows = flat(x), start = starts(index, count, "index");
  if (kind == "sum") return shaped_like(ops::segment_sum(rows, start), x);
  if (kind == "mean") return shaped_like(ops::segment_mean(rows, start), x);
  if (kind == "max") return shaped_like(ops::segment_max(rows, start), x);
  TORCH_CHECK(kind == "min", "reduce: got ", kind, "; expected sum, mean, max or min");
  return shaped_like(-ops::segment_max(-rows, start), x);
}

at::Tensor softmax(const at::Tensor& x, const at::Tensor& index, std::int64_t count) {
  return shaped_like(ops::segment_softmax(flat(x), starts(index, count, "index")), x);
}

at::Tensor embed(const at::Tensor& ids, at::TensorList tables, bool clamp) {
  const auto columns = static_cast<std::int64_t>(tables.size());
  TORCH_CHECK(ids.dim() == 2 && ids.size(1) >= columns && columns > 0, "embed: ids have shape ",
              ids.sizes(), "; expected [N, ", columns, "]");
  TORCH_CHECK(!ids.is_floating_point(), "embed: ids are ", ids.scalar_type(), "; expected int64");
  const at::Tensor index = ids.to(at::kLong).contiguous();
  std::vector<at::Tensor> table;
  for (const at::Tensor& t : tables) {
    TORCH_CHECK(t.dim() == 2 && t.size(1) == tables[0].size(-1) &&
                    t.scalar_type() == tables[0].scalar_type(),
                "embed: a table has shape ", t.sizes(), " and type ", t.scalar_type(),
                "; expected [categories, D] and the type of the first, ", tables[0].sizes(),
                " and ", tables[0].scalar_type());
    table.push_back(t.contiguous());
  }
  const std::int64_t n = ids.size(0), stride = ids.size(1), d = tables[0].size(1);
  at::Tensor out = at::empty({n, d}, tables[0].options());
  const std::int64_t* id = index.const_data_ptr<std::int64_t>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, out.scalar_type(), "embed", [&] {
    std::vector<const scalar_t*> from;
    for (const at::Tensor& t : table) from.push_back(t.const_data_ptr<scalar_t>());
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    const auto row = [&](std::int64_t i) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const std::int64_t count = table[static_cast<std::size_t>(c)].size(0);
        const std::int64_t raw = id[i * stride + c];
        const std::int64_t k = clamp ? std::min(raw, count - 1) : raw;
        TORCH_CHECK(k >= 0 && k < count, "embed: row ", i, " column ", c, " holds ", raw,
                    "; expected a category from 0 to ", count - 1);
        const scalar_t* line = from[static_cast<std::size_t>(c)] + k * d;
        scalar_t* sum = to + i * d;
        if (c == 0) {
          std::copy_n(line, d, sum);
        } else {
          for (std::int64_t j = 0; j < d; ++j) sum[j] += line[j];
        }
      }
    };
    tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, n, kRowBlock),
                      [&](const tbb::blocked_range<std::int64_t>& r) {
                        for (std::int64_t i = r.begin(); i != r.end(); ++i) row(i);
                      });
  });
  return out;
}

}  // namespace gtrain::script
