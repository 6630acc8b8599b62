#include "gtrain/deploy/encoding_script.h"

#include <fmt/format.h>

#include <algorithm>

#include "detail/encoding_text.h"
#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace detail {

std::string zeros(const std::string& column, std::int64_t width) {
  return fmt::format(
      "    {} = torch.zeros([batch.size(0), {}], dtype=like.dtype, device=batch.device)\n", column,
      width);
}

std::string fill(const std::string& column, std::int64_t width, const std::string& value) {
  return fmt::format("        {}.index_copy_(0, flat, {}.reshape(-1, {}).to(like.dtype))\n", column,
                     value, width);
}

}  // namespace detail

namespace {

using detail::EncodingText;

constexpr const char* kSizes = R"(
def check_sizes(self, batch: Tensor):
    if batch.numel() > 0:
        count = torch.bincount(batch)
        most = int(count.max())
        assert most <= {limit}, "batch: graph {{}} has {{}} nodes; the encodings inside this module take at most {limit}; export with --encodings input".format(int(torch.argmax(count)), most)
)";

// Node rows [g, n] of the graphs of equal size, in pieces of a bounded number of matrix cells.
constexpr const char* kPieces = R"(
def pieces(self, batch: Tensor) -> List[Tensor]:
    self.check_sizes(batch)
    out: List[Tensor] = []
    count = torch.bincount(batch)
    order = torch.argsort(count)
    first = (torch.cumsum(count, 0) - count).index_select(0, order)
    sizes: List[int] = count.index_select(0, order).tolist()
    begin = 0
    while begin < len(sizes):
        n = sizes[begin]
        most = max(1, {cells} // max(1, n * n))
        end = begin + 1
        while end < len(sizes) and sizes[end] == n and end - begin < most:
            end += 1
        if n > 0:
            local = torch.arange(n, device=batch.device)
            out.append(first[begin:end].unsqueeze(1) + local.unsqueeze(0))
        begin = end
    return out
)";

// Of each piece, the cells of its matrices [g, n, n] in which edges s -> t stand, one an edge.
constexpr const char* kCells = R"(
def cells(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> List[Tensor]:
    out: List[Tensor] = []
    if len(pieces) == 0:
        return out
    total = 0
    ends: List[int] = []
    order: List[Tensor] = []
    for rows in pieces:
        total += rows.numel() * rows.size(1)
        ends.append(total)
        order.append(rows.reshape(-1))
    count = torch.bincount(batch)
    first = (torch.cumsum(count, 0) - count).index_select(0, batch)
    nodes = torch.cat(order)
    side = count.index_select(0, batch.index_select(0, nodes))
    start = torch.zeros_like(batch)
    start.index_copy_(0, nodes, torch.cumsum(side, 0) - side)
    s = edge_index[0]
    cell = start.index_select(0, s) + edge_index[1] - first.index_select(0, s)
    cell = torch.sort(cell)[0]
    bounds: List[int] = torch.searchsorted(cell, torch.tensor(ends, device=cell.device)).tolist()
    begin = 0
    zero = 0
    for i in range(len(bounds)):
        out.append(cell[begin:bounds[i]] - zero)
        begin = bounds[i]
        zero = ends[i]
    return out
def adjacency(self, rows: Tensor, cells: Tensor) -> Tensor:
    a = torch.zeros([rows.numel() * rows.size(1)], dtype=7, device=rows.device)
    a.index_add_(0, cells, torch.ones(cells.size(), dtype=7, device=rows.device))
    return a.reshape(rows.size(0), rows.size(1), rows.size(1))
)";

constexpr const char* kLoop = R"(    pieces = self.pieces(batch)
    cells = self.cells(edge_index, batch, pieces)
    for i in range(len(pieces)):
        a = self.adjacency(pieces[i], cells[i])
        flat = pieces[i].reshape(-1)
)";

// 2^24 cells: 128 MiB a matrix.
constexpr std::int64_t kCellsAtOnce = std::int64_t{1} << 24;

// Texts put together. Distances and paths wait for each other.
class Composition {
 public:
  void add(const encode::EncodingOptions& options) {
    std::visit([&](const auto& o) { add_one(o); }, options);
  }

  // Methods up to the end of `encodings`, which returns `list`.
  std::string text(const std::string& list) {
    if (hops_ || paths_) append(detail::path_text(hops_, paths_));
    std::string out;
    if (!piece_.empty() || hops_ || paths_)
      out += fmt::format(kSizes, fmt::arg("limit", kDenseNodes));
    if (!piece_.empty()) {
      out += fmt::format(kPieces, fmt::arg("cells", kCellsAtOnce));
      out += kCells;
    }
    for (const std::string& method : methods_) out += method;
    out +=
        "\ndef encodings(self, edge_index: Tensor, batch: Tensor, like: Tensor) -> "
        "List[Tensor]:\n";
    out += before_;
    if (!piece_.empty()) out += kLoop + piece_;
    return out + "    out: List[Tensor] = [" + list + "]\n    return out\n";
  }

 private:
  void add_one(const encode::HopDistanceOptions& o) { hops_ = o; }
  void add_one(const encode::ShortestPathOptions& o) { paths_ = o; }
  template <class Options>
  void add_one(const Options& o) {
    append(detail::text_of(o));
  }

  void append(const EncodingText& text) {
    for (const std::string& method : text.methods) {
      if (std::find(methods_.begin(), methods_.end(), method) == methods_.end()) {
        methods_.push_back(method);
      }
    }
    before_ += text.before;
    piece_ += text.piece;
  }

  std::vector<std::string> methods_;
  std::string before_, piece_;
  std::optional<encode::HopDistanceOptions> hops_;
  std::optional<encode::ShortestPathOptions> paths_;
};

}  // namespace

std::string encoding_of_column(const std::string& column) {
  return column.substr(0, column.find('.'));
}

bool is_per_pair(const std::string& column) {
  return column == encode::HopDistanceOptions::kName ||
         column == encode::ShortestPathOptions::kName;
}

bool is_index(const std::string& column) {
  return is_per_pair(column) || column == encode::WeisfeilerLehmanOptions::kName;
}

bool is_limited(const std::string& column) {
  return column != encode::DegreeOptions::kName && column != encode::WeisfeilerLehmanOptions::kName;
}

std::string argument_of(const std::string& column) {
  std::string name = column;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::vector<encode::EncodingOptions> computations_of(
    const std::vector<encode::EncodingOptions>& options, const std::vector<std::string>& columns) {
  std::vector<encode::EncodingOptions> out;
  for (const std::string& column : columns) {
    const std::string name = encoding_of_column(column);
    const auto named = [&](const auto& o) { return encode::name_of(o) == name; };
    if (std::any_of(out.begin(), out.end(), named)) continue;
    const auto found = std::find_if(options.begin(), options.end(), named);
    if (found == options.end()) {
      throw base::RecipeError(
          fmt::format("encode: {} is not computed, but the model reads it", name));
    }
    out.push_back(*found);
  }
  return out;
}

std::string encoding_script(const std::vector<encode::EncodingOptions>& options,
                            const std::vector<std::string>& columns) {
  Composition composition;
  for (const auto& computation : computations_of(options, columns)) composition.add(computation);
  std::string list;
  for (const std::string& column : columns) {
    list += (list.empty() ? "" : ", ") + argument_of(column);
  }
  return composition.text(list);
}

}  // namespace gtrain::deploy
