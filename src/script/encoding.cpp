#include "gtrain/script/encoding.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>
#include <span>

#include "gtrain/base/error.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/encode/option_text.h"
#include "gtrain/graph/csr.h"
#include "gtrain/script/packed.h"

namespace gtrain::script {
namespace {

using data::Column;
using data::DType;

at::ScalarType type_of(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return at::kByte;
    case DType::kI32:
      return at::kInt;
    case DType::kF32:
      return at::kFloat;
    default:
      TORCH_CHECK(false, "[encoding] no encoding has columns of ", data::name_of(dtype));
  }
}

at::Tensor tensor_of(const Column& column) {
  at::Tensor out = at::empty({column.rows, column.width}, type_of(column.dtype));
  if (!column.empty()) std::memcpy(out.mutable_data_ptr(), column.data, column.bytes());
  return out;
}

Column column_of(DType dtype, std::int64_t rows, const void* data) {
  Column out;
  out.dtype = dtype;
  out.rows = rows;
  out.data = data;
  return out;
}

// Sources as numbers within their graphs.
std::vector<std::int32_t> local_sources(const graph::Csr& rows, const std::int64_t* batch,
                                        const std::int64_t* start) {
  std::vector<std::int32_t> out(rows.source.size());
  for (std::int64_t i = 0; i < rows.nodes(); ++i) {
    for (auto e = rows.start[static_cast<std::size_t>(i)];
         e < rows.start[static_cast<std::size_t>(i) + 1]; ++e) {
      const std::int64_t source = rows.source[static_cast<std::size_t>(e)];
      if (batch[source] != batch[i]) {
        throw base::DataError(
            fmt::format("edge_index: has an edge between graphs {} and {} of the batch",
                        batch[source], batch[i]));
      }
      out[static_cast<std::size_t>(e)] = static_cast<std::int32_t>(source - start[batch[i]]);
    }
  }
  return out;
}

}  // namespace

std::vector<at::Tensor> encoding(const at::Tensor& edge_index, const at::Tensor& batch,
                                 const std::string& options) {
  const encode::EncodingOptions chosen = encode::from_json(options);
  const at::Tensor graphs = graph_start(batch), owner = batch.contiguous();
  TORCH_CHECK(edge_index.dim() == 2 && edge_index.size(0) == 2 && edge_index.is_cpu() &&
                  edge_index.scalar_type() == at::kLong,
              "edge_index: has shape ", edge_index.sizes(), "; expected int64 [2, E]");
  const at::Tensor ends = edge_index.contiguous();
  const auto edges = static_cast<std::size_t>(ends.size(1));
  const std::int64_t* source = ends.const_data_ptr<std::int64_t>();
  const graph::Csr rows =
      graph::build(owner.numel(), std::span(source, edges), std::span(source + edges, edges));
  const std::vector<std::int32_t> local = local_sources(rows, owner.const_data_ptr<std::int64_t>(),
                                                        graphs.const_data_ptr<std::int64_t>());
  data::Dataset dataset;
  dataset.node_start = column_of(DType::kI64, graphs.numel(), graphs.const_data_ptr());
  dataset.row_start = column_of(DType::kI64, rows.nodes() + 1, rows.start.data());
  dataset.source = column_of(DType::kI32, rows.edges(), local.data());
  std::vector<at::Tensor> out;
  for (const Column& column : encode::compute(dataset, chosen)) out.push_back(tensor_of(column));
  return out;
}

}  // namespace gtrain::script
