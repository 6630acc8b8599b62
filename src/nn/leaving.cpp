#include "gtrain/nn/leaving.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gtrain::nn {
namespace {

using Index = std::int64_t;

// Rows 0..count-1 that are not in `kept`, which ascends.
at::Tensor others_of(const at::Tensor& kept, Index count) {
  const at::Tensor out = at::empty({count - kept.size(0)}, at::kLong), rows = kept.contiguous();
  const Index* next = rows.const_data_ptr<Index>();
  const Index* end = next + rows.size(0);
  Index* to = out.mutable_data_ptr<Index>();
  for (Index i = 0; i < count; ++i) {
    if (next != end && *next == i) {
      ++next;
    } else {
      *to++ = i;
    }
  }
  return out;
}

// Place of each number in a list of them all.
at::Tensor inverse_of(const at::Tensor& order) {
  const at::Tensor out = at::empty_like(order), from = order.contiguous();
  const Index* p = from.const_data_ptr<Index>();
  for (Index i = 0; i < order.size(0); ++i) out.mutable_data_ptr<Index>()[p[i]] = i;
  return out;
}

}  // namespace

Leaving::Leaving(at::Tensor graph_start) : whole_start_(std::move(graph_start)) {}

std::optional<KeptRows> Leaving::choose(TokenGate& gate, const GlobalInput& input,
                                        const at::Tensor& state, Context& context) {
  std::optional<KeptRows> kept = gate.choose({input, state, whole_start_}, context);
  if (!kept || !kept->rows.index.defined()) return std::nullopt;
  if (!number_.defined()) number_ = at::arange(state.size(0), at::kLong);
  const at::Tensor leave = others_of(kept->rows.index, state.size(0));
  gone_.push_back(number_.index_select(0, leave));
  last_.push_back(ops::gather(state, ops::row_index(leave, state.size(0))));
  number_ = number_.index_select(0, kept->rows.index);
  return kept;
}

at::Tensor Leaving::all(const at::Tensor& x) const {
  if (gone_.empty()) return x;
  std::vector<at::Tensor> numbers = gone_, states = last_;
  numbers.push_back(number_);
  states.push_back(x);
  const at::Tensor place = inverse_of(at::cat(numbers));
  return ops::gather(at::cat(states), ops::row_index(place, place.size(0)));
}

KeptEdges restricted(const Edges& edges, const KeptRows& kept) {
  const at::Tensor all[] = {edges.source.contiguous(), edges.target.contiguous(),
                            kept.rows.index.contiguous()};
  const Index count = kept.rows.count();
  std::vector<Index> number(static_cast<std::size_t>(kept.rows.rows()), -1);  // among the kept
  for (Index k = 0; k < count; ++k) {
    number[static_cast<std::size_t>(all[2].const_data_ptr<Index>()[k])] = k;
  }
  std::vector<Index> which, source, target;
  for (Index e = 0; e < edges.count(); ++e) {
    const Index from = number[static_cast<std::size_t>(all[0].const_data_ptr<Index>()[e])];
    const Index to = number[static_cast<std::size_t>(all[1].const_data_ptr<Index>()[e])];
    if (from < 0 || to < 0) continue;
    which.push_back(e);
    source.push_back(from);
    target.push_back(to);
  }
  const ops::RowIndex out = ops::row_index(at::tensor(source, at::kLong), count);
  const ops::RowIndex in = ops::row_index(at::tensor(target, at::kLong), count);
  return {{out.index, in.index, in.start, out.start, out.position},
          ops::row_index(at::tensor(which, at::kLong), edges.count())};
}

std::string chooser_script(const std::string& name, const std::string& child,
                           const TokenGate& gate) {
  return fmt::format(
             "def {}(self, x: Tensor, state: Tensor, groups: List[Tensor], sizes: List[int], "
             "bias: List[Tensor]) -> Tuple[List[Tensor], Tensor]:\n"
             "    places: List[Tensor] = []\n"
             "    for i in range(len(groups)):\n"
             "        rows = groups[i]\n"
             "        weight = {}\n"
             "        place = self.{}.forward(x, rows, sizes[i], weight)\n"
             "        places.append(place)\n",
             name, gate.reads_weights() ? "self.weights(x, rows, bias, i)" : "x[:0]", child) +
         (gate.adds()
              ? fmt::format(
                    "        more = self.{}.added(state, rows, place, weight)\n"
                    "        state = state.index_add(0, rows.gather(1, place).reshape(-1), more)\n",
                    child)
              : std::string()) +
         "    return places, state\n";
}

std::string leaving_methods() {
  return "def staying(self, groups: List[Tensor], places: List[Tensor]) -> Tensor:\n"
         "    flat: List[Tensor] = []\n"
         "    for i in range(len(groups)):\n"
         "        flat.append(groups[i].gather(1, places[i]).reshape(-1))\n"
         "    return torch.sort(torch.cat(flat))[0]\n"
         "def numbers(self, kept: Tensor, nodes: int) -> Tensor:\n"
         "    number = torch.full([nodes], -1, dtype=4, device=kept.device)\n"
         "    return number.index_copy(0, kept, torch.arange(kept.size(0), device=kept.device))\n"
         "def regrouped(self, groups: List[Tensor], places: List[Tensor], kept: Tensor, "
         "nodes: int) -> List[Tensor]:\n"
         "    number = self.numbers(kept, nodes)\n"
         "    out: List[Tensor] = []\n"
         "    for i in range(len(groups)):\n"
         "        rows = groups[i].gather(1, places[i])\n"
         "        out.append(number.index_select(0, rows.reshape(-1)).reshape(rows.size()))\n"
         "    return out\n"
         "def kept_blocks(self, blocks: List[Tensor], places: List[Tensor]) -> List[Tensor]:\n"
         "    out: List[Tensor] = []\n"
         "    for i in range(len(blocks)):\n"
         "        block = blocks[i]\n"
         "        k = places[i].size(1)\n"
         "        rows = places[i].reshape(-1, 1, k, 1)\n"
         "        rows = rows.expand(-1, block.size(1), -1, block.size(3))\n"
         "        columns = places[i].reshape(-1, 1, 1, k).expand(-1, block.size(1), k, -1)\n"
         "        out.append(block.gather(2, rows).gather(3, columns))\n"
         "    return out\n"
         "def kept_edges(self, source: Tensor, target: Tensor, kept: Tensor, nodes: int) -> "
         "Tuple[Tensor, Tensor, Tensor]:\n"
         "    number = self.numbers(kept, nodes)\n"
         "    source = number.index_select(0, source)\n"
         "    target = number.index_select(0, target)\n"
         "    which = torch.nonzero((source >= 0) & (target >= 0)).reshape(-1)\n"
         "    return which, source.index_select(0, which), target.index_select(0, which)\n";
}

bool LeavingScript::chooses() const {
  return std::any_of(steps.begin(), steps.end(), [](const Step& s) { return !s.choice.empty(); });
}

std::string LeavingScript::methods() const { return chooses() ? leaving_methods() : ""; }

std::string LeavingScript::before(const std::string& choice) const {
  std::string text = fmt::format(
      "    places, more = {}\n"
      "    kept = self.staying(groups, places)\n"
      "    states = states.index_copy(0, number, h)\n"
      "    number = number.index_select(0, kept)\n"
      "    rows = rows.index_select(0, kept)\n",
      choice);
  if (edges) {
    text +=
        "    which, source, target = self.kept_edges(source, target, kept, h.size(0))\n"
        "    e = e.index_select(0, which)\n";
  }
  if (positions) text += "    positions = positions.index_select(0, kept)\n";
  for (const std::string& list : blocks) {
    text += fmt::format("    {0} = self.kept_blocks({0}, places)\n", list);
  }
  return text +
         "    groups = self.regrouped(groups, places, kept, h.size(0))\n"
         "    h = more.index_select(0, kept)\n";
}

std::string LeavingScript::statements() const {
  std::string text;
  for (const Step& step : steps) {
    text += step.choice.empty() ? step.layer : before(step.choice) + step.layer;
  }
  if (!chooses()) return text;
  return "    sizes: List[int] = []\n"
         "    for group in groups:\n"
         "        sizes.append(group.size(1))\n"
         "    whole = rows\n"
         "    states = h\n"
         "    number = torch.arange(h.size(0), device=h.device)\n" +
         text +
         "    h = states.index_copy(0, number, h)\n"
         "    rows = whole\n";
}

}  // namespace gtrain::nn
