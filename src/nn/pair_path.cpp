#include "gtrain/nn/pair_path.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

namespace gtrain::nn {
namespace {

constexpr std::uint8_t kUnreachable = 255;
constexpr std::int32_t kJump = 1;

// One graph's share of the pairs.
class Graph {
 public:
  Graph(const PairInput& input, const at::Tensor& code, const PathShape& shape)
      : shape_(shape),
        start_(input.graph_start.const_data_ptr<std::int64_t>()),
        hops_(input.hops.const_data_ptr<std::uint8_t>()),
        inner_(input.inner.defined() ? input.inner.const_data_ptr<std::int64_t>() : nullptr),
        source_(input.source.const_data_ptr<std::int64_t>()),
        target_(input.target.const_data_ptr<std::int64_t>()),
        code_(code.const_data_ptr<std::int64_t>()),
        edges_(input.source.numel()) {}

  // Moves to graph g; graphs come in turn.
  void next(std::int64_t g) {
    n_ = start_[g + 1] - start_[g];
    between_.assign(static_cast<std::size_t>(n_ * n_), kJump);
    for (; edge_ < edges_ && target_[edge_] < start_[g + 1]; ++edge_) {
      const std::int64_t s = source_[edge_] - start_[g], t = target_[edge_] - start_[g];
      between_[static_cast<std::size_t>(s * n_ + t)] = static_cast<std::int32_t>(code_[edge_]);
    }
  }

  void leave() {
    hops_ += n_ * n_;
    if (inner_ != nullptr) inner_ += n_ * n_;
  }

  std::int64_t nodes() const { return n_; }

  // Appends the rows of pair (i, j); returns its divisor.
  std::int64_t append(std::int64_t i, std::int64_t j, std::vector<std::int64_t>& row) {
    const std::uint8_t hops = hops_[i * n_ + j];
    const std::size_t before = row.size();
    if (shape_.single) {
      const std::int32_t code = between_[static_cast<std::size_t>(i * n_ + j)];
      if (code != kJump) row.push_back(code);
    } else if (hops != kUnreachable && i != j) {
      hop_ = 0;
      depth_ = 0;
      walk(i, j, row);
    }
    const auto length = static_cast<std::int64_t>(row.size() - before);
    if (length < shape_.padded) row.push_back(shape_.blocks * shape_.codes + length);
    if (shape_.single) return 1;
    return hops == kUnreachable ? shape_.unreachable
                                : std::clamp<std::int64_t>(hops, 1, shape_.hops);
  }

 private:
  void walk(std::int64_t i, std::int64_t j, std::vector<std::int64_t>& row) {
    TORCH_CHECK(++depth_ <= 2 * n_, "[pair_path] inner nodes lead in a circle");
    const std::int64_t k = inner_[i * n_ + j];
    TORCH_CHECK(k < n_, "[pair_path] inner node ", k, " of a graph of ", n_, " nodes");
    if (k >= 0) {
      walk(i, k, row);
      if (hop_ < shape_.hops) walk(k, j, row);
    } else if (hop_ < shape_.hops) {
      row.push_back(hop_++ * shape_.codes + between_[static_cast<std::size_t>(i * n_ + j)]);
    }
  }

  const PathShape& shape_;
  const std::int64_t* start_;
  const std::uint8_t* hops_;
  const std::int64_t* inner_;
  const std::int64_t *source_, *target_, *code_;
  std::int64_t edges_, edge_ = 0, n_ = 0, hop_ = 0, depth_ = 0;
  std::vector<std::int32_t> between_;  // code of the edge i -> j
};

template <class T>
at::Tensor to_tensor(const std::vector<T>& values) {
  const at::Tensor out =
      at::empty({static_cast<std::int64_t>(values.size())}, c10::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<T>());
  return out;
}

}  // namespace

PairPath pair_path(const PairInput& input, const at::Tensor& code, const PathShape& shape) {
  TORCH_CHECK(shape.single || input.inner.defined(),
              "[pair_path] paths of several hops need the column shortest_path");
  Graph graph(input, code, shape);
  std::vector<std::int64_t> start{0}, row;
  std::vector<double> scale;
  const std::int64_t token = shape.token ? 1 : 0;
  for (std::int64_t g = 0; g + 1 < input.graph_start.size(0); ++g) {
    graph.next(g);
    const std::int64_t n = graph.nodes() + token;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const bool nodes = i >= token && j >= token;
        const std::int64_t divisor = nodes ? graph.append(i - token, j - token, row) : 1;
        scale.push_back(1.0 / static_cast<double>(divisor));
        start.push_back(static_cast<std::int64_t>(row.size()));
      }
    }
    graph.leave();
  }
  return {to_tensor(start), to_tensor(row), to_tensor(scale)};
}

std::int64_t longest_path(const at::Tensor& hops, std::int64_t most) {
  const std::uint8_t* p = hops.const_data_ptr<std::uint8_t>();
  const std::uint8_t* largest = std::max_element(p, p + hops.numel());
  if (hops.numel() == 0) return 0;
  return *largest == kUnreachable ? most : std::min<std::int64_t>(*largest, most);
}

}  // namespace gtrain::nn
