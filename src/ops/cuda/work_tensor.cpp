#include "ops/cuda/work_tensor.h"

#include <ATen/ATen.h>

namespace gtrain::ops::cuda {

Work WorkTensors::work(const at::Tensor& partial) const {
  Work w;
  w.start = data<const std::int64_t>(start);
  w.rows = rows;
  w.items = data<const ops::detail::WorkItem>(items);
  w.item_count = item_count;
  w.cuts = data<const ops::detail::CutRow>(cuts);
  w.cut_count = cut_count;
  w.parts = parts;
  w.partial = data<void>(partial);
  return w;
}

std::shared_ptr<WorkTensors> work_on(const at::Tensor& start, const at::Tensor& x) {
  return kept<WorkTensors>(start, x.device(), [&] {
    const at::Tensor host = index_on_host(start);
    const std::int64_t rows = host.size(0) - 1;
    const auto list = ops::detail::work_list(data<const std::int64_t>(host), rows);
    auto made = std::make_shared<WorkTensors>();
    made->start = index_on(start, x);
    made->items = upload(list.items, x);
    made->cuts = upload(list.cuts, x);
    made->rows = rows;
    made->item_count = static_cast<std::int64_t>(list.items.size());
    made->cut_count = static_cast<std::int64_t>(list.cuts.size());
    made->parts = list.parts;
    return made;
  });
}

}  // namespace gtrain::ops::cuda
