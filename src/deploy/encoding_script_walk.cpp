#include <fmt/format.h>

#include "detail/encoding_text.h"

namespace gtrain::deploy::detail {
namespace {

constexpr const char* kRandomWalk = R"(
def random_walk(self, a: Tensor) -> Tensor:
    p = a / torch.clamp(a.sum(2, keepdim=True), 1)
    q = p
    columns = [torch.diagonal(p, 0, 1, 2)]
    while len(columns) < {steps}:
        back = q.transpose(1, 2)
        columns.append((q * back).sum(2))
        if len(columns) < {steps}:
            q = torch.bmm(q, p)
            columns.append((q * back).sum(2))
    return torch.stack(columns, 2)
)";

constexpr const char* kDegree = R"(
def degree(self, edge_index: Tensor, batch: Tensor) -> Tensor:
    into = torch.bincount(edge_index[1], minlength=batch.size(0))
    out = torch.bincount(edge_index[0], minlength=batch.size(0))
    return torch.stack([into, out], 1)
)";

}  // namespace

EncodingText text_of(const encode::RandomWalkOptions& options) {
  return {{fmt::format(kRandomWalk, fmt::arg("steps", options.steps))},
          zeros("random_walk", options.steps),
          fill("random_walk", options.steps, "self.random_walk(a)")};
}

EncodingText text_of(const encode::DegreeOptions&) {
  return {{kDegree}, "    degree = self.degree(edge_index, batch).to(like.dtype)\n", ""};
}

}  // namespace gtrain::deploy::detail
