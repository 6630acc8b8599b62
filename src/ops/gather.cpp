#include "gtrain/ops/gather.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/segment_sum.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

at::Tensor take_rows(const at::Tensor& x, const at::Tensor& index) {
  const Index count = index.size(0), d = x.size(1);
  at::Tensor out = at::empty({count, d}, x.options());
  const Index* ip = detail::data<Index>(index);
  detail::with_storage("gather", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
    const S* xp = detail::data<S>(x);
    S* op = detail::mutable_data<S>(out);
    detail::parallel_rows(count, d, [&](Index, Index begin, Index end) {
      detail::kernels<S>().segment.gather(begin, end, d, xp, ip, op);
    });
  });
  return out;
}

at::Tensor sum_rows(const at::Tensor& x, const variable_list& index) {
  return detail::segment_sum(x, index[2], index[1], false);
}

class Gather : public torch::autograd::Function<Gather> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index,
                            const at::Tensor& start, const at::Tensor& position) {
    ctx->save_for_backward({index, start, position});
    return take_rows(x.contiguous(), index);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gather");
    const at::Tensor none;
    return {sum_rows(grads[0].contiguous(), ctx->get_saved_variables()), none, none, none};
  }
};

class ScatterAdd : public torch::autograd::Function<ScatterAdd> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index,
                            const at::Tensor& start, const at::Tensor& position) {
    const variable_list saved{index, start, position};
    ctx->save_for_backward(saved);
    return sum_rows(x.contiguous(), saved);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("scatter_add");
    const at::Tensor none;
    return {take_rows(grads[0].contiguous(), ctx->get_saved_variables()[0]), none, none, none};
  }
};

void check(const char* op, const at::Tensor& x, std::int64_t rows) {
  TORCH_CHECK(x.dim() == 2 && x.size(0) == rows, "[", op, "] x has shape ", x.sizes(),
              "; expected [", rows, ", D] as the index");
}

}  // namespace

RowIndex row_index(const at::Tensor& index_in, std::int64_t rows) {
  TORCH_CHECK(index_in.dim() == 1 && index_in.scalar_type() == at::kLong, "[row_index] index has ",
              "shape ", index_in.sizes(), " and type ", index_in.scalar_type(),
              "; expected int64 [P]");
  if (!index_in.is_cpu()) {  // sorted on the host
    const RowIndex host = row_index(index_in.cpu(), rows);
    const auto where = index_in.device();
    return {index_in.contiguous(), host.start.to(where), host.position.to(where)};
  }
  const at::Tensor index = index_in.contiguous();
  const Index count = index.size(0);
  const Index* ip = detail::data<Index>(index);
  at::Tensor start = at::zeros({rows + 1}, at::kLong), position = at::empty({count}, at::kLong);
  Index *sp = detail::mutable_data<Index>(start), *pp = detail::mutable_data<Index>(position);
  for (Index p = 0; p < count; ++p) {
    TORCH_CHECK(ip[p] >= 0 && ip[p] < rows, "[row_index] entry ", p, " is ", ip[p],
                "; expected one of ", rows, " rows");
    ++sp[ip[p] + 1];
  }
  for (Index j = 0; j < rows; ++j) sp[j + 1] += sp[j];
  std::vector<Index> next(sp, sp + rows);
  for (Index p = 0; p < count; ++p) pp[next[static_cast<std::size_t>(ip[p])]++] = p;
  return {index, start, position};
}

at::Tensor gather(const at::Tensor& x, const RowIndex& index) {
  check("gather", x, index.rows());
  const detail::OpCount count;  // moves rows: no operation
  if (detail::on_device("gather", x)) return device::gather(x, index);
  return Gather::apply(x, index.index, index.start, index.position);
}

at::Tensor scatter_add(const at::Tensor& x, const RowIndex& index) {
  check("scatter_add", x, index.count());
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(x.numel()));
  if (detail::on_device("scatter_add", x)) return device::scatter_add(x, index);
  return ScatterAdd::apply(x, index.index, index.start, index.position);
}

}  // namespace gtrain::ops
