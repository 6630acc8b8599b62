#include "gtrain/deploy/input_check.h"

#include <fmt/format.h>

namespace gtrain::deploy {
namespace {

// A batch names no graph far beyond its nodes: the outputs have a row for each.
constexpr std::int64_t kMostGaps = 1 << 20;

constexpr const char* kCheck = R"(
def type_of(self, x: Tensor) -> str:
    names = ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32", "complex64", "complex128", "bool"]
    return names[x.dtype] if x.dtype < len(names) else "bfloat16" if x.dtype == 15 else "another type"
def check_numbers(self, x: Tensor, name: str):
    assert x.dtype == 4 or x.is_floating_point() or x.numel() == 0, "{{}}: has the type {{}}; expected int64 or float".format(name, self.type_of(x))
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        wrong = torch.nonzero(torch.logical_not(torch.isfinite(x)))[0]
        row = int(wrong[0])
        column = int(wrong[1])
        assert False, "{{}}: row {{}} column {{}} holds {{}}; expected finite numbers".format(name, row, column, float(x[row][column]))
def check(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor):
    assert x.dim() == 2{width}, "x: has shape {{}}; expected [N, {nodes}]".format(x.size())
    assert edge_index.dim() == 2 and edge_index.size(0) == 2, "edge_index: has shape {{}}; expected int64 [2, E]".format(edge_index.size())
    assert edge_index.dtype == 4, "edge_index: has the type {{}}; expected int64".format(self.type_of(edge_index))
    assert edge_attr.dim() == 2 and edge_attr.size(1) == {edges}, "edge_attr: has shape {{}}; expected [E, {edges}]".format(edge_attr.size())
    assert edge_attr.size(0) == edge_index.size(1), "edge_attr: has {{}} rows; edge_index has {{}} edges".format(edge_attr.size(0), edge_index.size(1))
    assert batch.dim() == 1, "batch: has shape {{}}; expected int64 [N]".format(batch.size())
    assert batch.dtype == 4, "batch: has the type {{}}; expected int64".format(self.type_of(batch))
    assert batch.size(0) == x.size(0), "batch: has {{}} entries; x has {{}} rows".format(batch.size(0), x.size(0))
    assert batch.numel() > 0, "batch: is empty; expected at least one node"
    self.check_numbers(x, "x")
    self.check_numbers(edge_attr, "edge_attr")
    assert int(batch[0]) >= 0, "batch: begins with {{}}; expected graph ids from 0".format(int(batch[0]))
    assert bool(torch.all(batch[1:] >= batch[:-1])), "batch: is not ascending; expected the nodes graph by graph"
    assert int(batch[-1]) < batch.size(0) + {gaps}, "batch: ends with graph {{}}; expected at most {gaps} ids without nodes".format(int(batch[-1]))
    if edge_index.numel() > 0:
        low = int(edge_index.min())
        high = int(edge_index.max())
        assert low >= 0 and high < x.size(0), "edge_index: has the ends {{}} to {{}}; expected 0 to {{}}".format(low, high, x.size(0) - 1)
        ends = batch.index_select(0, edge_index.reshape(-1)).reshape(2, -1)
        assert bool(torch.all(ends[0] == ends[1])), "edge_index: has an edge between two graphs of the batch"
)";

constexpr const char* kCheckPairs = R"(
    assert pairs.dim() == 2 and pairs.size(0) == 2, "pairs: has shape {}; expected int64 [2, P]".format(pairs.size())
    assert pairs.dtype == 4, "pairs: has the type {}; expected int64".format(self.type_of(pairs))
    if pairs.numel() > 0:
        low = int(pairs.min())
        high = int(pairs.max())
        assert low >= 0 and high < x.size(0), "pairs: has the ends {} to {}; expected 0 to {}".format(low, high, x.size(0) - 1)
        own = batch.index_select(0, pairs.reshape(-1)).reshape(2, -1)
        assert bool(torch.all(own[0] == own[1])), "pairs: has a pair of nodes of two graphs of the batch"
)";

// Missing eigenpairs are NaN.
constexpr const char* kCheckRows = R"(
    assert {name}.dim() == 2 and {name}.size(0) == x.size(0) and {name}.size(1) == {width}, "{name}: has shape {{}}; expected [{{}}, {width}]".format({name}.size(), x.size(0))
    {check}
)";

constexpr const char* kCheckCells = R"(
    count = torch.bincount(batch)
    cells = int((count * count).sum())
    assert {name}.numel() == cells, "{name}: has shape {{}}; expected [{{}}, 1], a row for each pair of nodes of a graph".format({name}.size(), cells)
    assert {name}.dtype < 5 or {name}.is_floating_point(), "{name}: has another type; expected whole numbers"
    whole = {name}.reshape(-1).to(4)
    assert bool(torch.all(whole == {name}.reshape(-1))), "{name}: has a fraction or no number; expected whole numbers"
    if whole.numel() > 0:
        most = torch.repeat_interleave({most}, count * count)
        assert int(whole.min()) >= {least} and bool(torch.all(whole <= most)), "{name}: has the values {{}} to {{}}; expected {range}".format(int(whole.min()), int(whole.max()))
)";

}  // namespace

std::string input_check_script(const RawFeatures& features, const models::Signature& signature) {
  const std::int64_t width = raw_width(features, signature.node_width);
  const bool any = width < 0;
  return fmt::format(kCheck,
                     fmt::arg("width", any ? "" : fmt::format(" and x.size(1) == {}", width)),
                     fmt::arg("nodes", any ? "any" : fmt::format("{}", width)),
                     fmt::arg("edges", signature.edge_width), fmt::arg("gaps", kMostGaps));
}

std::string pair_check_script() { return kCheckPairs + 1; }

std::string encoding_check_script(const std::string& name, std::optional<std::int64_t> width) {
  if (!width) {
    const bool inner = name == "shortest_path";
    return fmt::format(kCheckCells + 1, fmt::arg("name", name),
                       fmt::arg("most", inner ? "count - 1" : "torch.full_like(count, 255)"),
                       fmt::arg("least", inner ? -1 : 0),
                       fmt::arg("range", inner ? "-1 or a node of the graph, from 0" : "0 to 255"));
  }
  constexpr const char* kEigenpairs =
      "assert {0}.is_floating_point() and not bool(torch.any(torch.isinf({0}))), \"{0}: has "
      "another "
      "type or an infinite number; expected finite ones, or NaN where a graph has no such pair\"";
  constexpr const char* kOthers =
      "assert ({0}.dtype < 5 or {0}.is_floating_point()) and bool(torch.all(torch.isfinite({0}))), "
      "\"{0}: has another type or a number that is not finite; expected finite numbers\"";
  const std::string check =
      name.starts_with("laplacian") ? fmt::format(kEigenpairs, name) : fmt::format(kOthers, name);
  return fmt::format(kCheckRows + 1, fmt::arg("name", name), fmt::arg("width", *width),
                     fmt::arg("check", check));
}

}  // namespace gtrain::deploy
