#include "ops/cuda/fold.cuh"
#include "ops/cuda/segment.h"

namespace gtrain::ops::cuda {
namespace {

template <class S>
struct SumArguments {
  const S* x;
  S* out;
  const std::int64_t* position;
  std::int64_t width;
  bool mean;
};

template <class S, int V>
struct SumFold : Sum<compute_t<S>> {
  using A = compute_t<S>;
  using State = SumState<A>;
  static constexpr int kUnroll = 4;
  SumArguments<S> a;

  explicit SumFold(const SumArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A x[V];
    load_channels(a.x + (a.position != nullptr ? a.position[row] : row) * a.width + column, x);
#pragma unroll
    for (int i = 0; i < V; ++i) state[i].sum += x[i];
  }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t rows) const {
    const A divisor = a.mean && rows > 1 ? static_cast<A>(rows) : A(1);
    A out[V];
#pragma unroll
    for (int i = 0; i < V; ++i) out[i] = state[i].sum / divisor;
    store_channels(a.out + g * a.width + column, out);
  }
};

template <class S>
struct SumBackwardArguments {
  SumArguments<S> sum;  // x: the gradient of out, out: dx
  const std::int64_t* start;
};

template <class S, int V>
struct SumBackward {
  using A = compute_t<S>;
  SumArguments<S> a;
  const std::int64_t* start;
  A held[V];

  explicit SumBackward(const SumBackwardArguments<S>& arguments)
      : a(arguments.sum), start(arguments.start) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
    const A divisor = a.mean ? static_cast<A>(start[g + 1] - start[g]) : A(1);
    load_channels(a.x + g * a.width + column, held);
#pragma unroll
    for (int i = 0; i < V; ++i) held[i] /= divisor;
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    store_channels(a.out + row * a.width + column, held);
  }
};

template <class S>
struct MaxArguments {
  const S* x;
  S* out;
  std::int64_t* argmax;
  std::int64_t width;
};

template <class A>
struct MaxState {
  A best;
  std::int64_t at;  // -1: nothing seen
};

template <class S, int V>
struct MaxFold {
  using A = compute_t<S>;
  using State = MaxState<A>;
  static constexpr int kUnroll = 4;
  MaxArguments<S> a;

  explicit MaxFold(const MaxArguments<S>& arguments) : a(arguments) {}
  __device__ State init() const { return {A(0), -1}; }
  __device__ void enter(std::int64_t, std::int64_t) const {}
  // NaN differs from itself and beats any number.
  __device__ static bool beats(A later, A earlier) {
    return later > earlier || (later != later && earlier == earlier);
  }
  __device__ void add(State (&state)[V], std::int64_t row, std::int64_t column) const {
    A x[V];
    load_channels(a.x + row * a.width + column, x);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (state[i].at < 0 || beats(x[i], state[i].best)) state[i] = {x[i], row};
    }
  }
  // The parts of sixteen warps interleave: of equal ones the first row wins.
  __device__ static State merge(State one, State other) {
    if (one.at < 0) return other;
    if (other.at < 0) return one;
    const bool first = one.at < other.at;
    const State earlier = first ? one : other, later = first ? other : one;
    return beats(later.best, earlier.best) ? later : earlier;
  }
  __device__ void finish(const State (&state)[V], std::int64_t g, std::int64_t column,
                         std::int64_t) const {
    A out[V];
    std::int64_t at[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      out[i] = state[i].best;
      at[i] = state[i].at;
    }
    store_channels(a.out + g * a.width + column, out);
    store_values(a.argmax + g * a.width + column, at);
  }
};

template <class S>
struct MaxBackwardArguments {
  const S* g;
  const std::int64_t* argmax;
  S* dx;
  std::int64_t width;
};

template <class S, int V>
struct MaxBackward {
  using A = compute_t<S>;
  MaxBackwardArguments<S> a;
  A held[V];
  std::int64_t at[V];

  explicit MaxBackward(const MaxBackwardArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t g, std::int64_t column) {
    load_channels(a.g + g * a.width + column, held);
#pragma unroll
    for (int i = 0; i < V; ++i) at[i] = a.argmax[g * a.width + column + i];
  }
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    A out[V];
#pragma unroll
    for (int i = 0; i < V; ++i) out[i] = at[i] == row ? held[i] : A(0);
    store_channels(a.dx + row * a.width + column, out);
  }
};

template <class S>
struct GatherArguments {
  const S* x;
  S* out;
  const std::int64_t* index;
  std::int64_t width;
};

template <class S, int V>
struct GatherMap {
  GatherArguments<S> a;

  explicit GatherMap(const GatherArguments<S>& arguments) : a(arguments) {}
  __device__ void enter(std::int64_t, std::int64_t) const {}
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    compute_t<S> x[V];
    load_channels(a.x + a.index[row] * a.width + column, x);
    store_channels(a.out + row * a.width + column, x);
  }
};

}  // namespace

template <class S>
void segment_sum(const SegmentSum& sum, const S* x, S* out, void* workspace, Stream stream) {
  const SumArguments<S> a{x, out, sum.position, sum.segments.width, sum.mean};
  run_fold<SumFold, S>(sum.segments, a, aligned_rows<S>(a.width, {x, out}), workspace, stream);
}

template <class S>
void segment_sum_backward(const SegmentSum& sum, const S* g, S* dx, Stream stream) {
  const SumArguments<S> a{g, dx, nullptr, sum.segments.width, sum.mean};
  const SumBackwardArguments<S> arguments{a, sum.segments.start};
  run_map<SumBackward, S>(sum.segments, arguments, aligned_rows<S>(a.width, {g, dx}), stream);
}

template <class S>
void segment_max(const Segments& segments, const S* x, S* out, std::int64_t* argmax,
                 void* workspace, Stream stream) {
  const MaxArguments<S> a{x, out, argmax, segments.width};
  run_fold<MaxFold, S>(segments, a, aligned_rows<S>(a.width, {x, out}), workspace, stream);
}

template <class S>
void segment_max_backward(const Segments& segments, const S* g, const std::int64_t* argmax, S* dx,
                          Stream stream) {
  const MaxBackwardArguments<S> a{g, argmax, dx, segments.width};
  run_map<MaxBackward, S>(segments, a, aligned_rows<S>(a.width, {g, dx}), stream);
}

template <class S>
void gather(std::int64_t count, std::int64_t width, const std::int64_t* index, const S* x, S* out,
            Stream stream) {
  const GatherArguments<S> a{x, out, index, width};
  run_map<GatherMap, S>({count, 1, width, nullptr}, a, aligned_rows<S>(width, {x, out}), stream);
}

#define GTRAIN_SEGMENT(S)                                                                    \
  template void segment_sum<S>(const SegmentSum&, const S*, S*, void*, Stream);              \
  template void segment_sum_backward<S>(const SegmentSum&, const S*, S*, Stream);            \
  template void segment_max<S>(const Segments&, const S*, S*, std::int64_t*, void*, Stream); \
  template void segment_max_backward<S>(const Segments&, const S*, const std::int64_t*, S*,  \
                                        Stream);                                             \
  template void gather<S>(std::int64_t, std::int64_t, const std::int64_t*, const S*, S*, Stream);
GTRAIN_SEGMENT(float)
GTRAIN_SEGMENT(double)
GTRAIN_SEGMENT(bf16)
GTRAIN_SEGMENT(f16)
#undef GTRAIN_SEGMENT

}  // namespace gtrain::ops::cuda
