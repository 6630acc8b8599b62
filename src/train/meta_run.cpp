#include "meta_run.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/core/TensorImpl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "gtrain/ops/meta.h"

namespace gtrain::train {
namespace {

// Tensors of meta without memory, but counted as if they had some.
class MetaMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    live += static_cast<double>(bytes);
    peak = std::max(peak, live);
    return {nullptr, new std::size_t(bytes), &release, c10::Device(at::kMeta)};
  }
  void copy_data(void*, const void*, std::size_t) const override {}

  // Of all threads: tensors may outlive the count.
  inline static double live = 0, peak = 0;

 private:
  static void release(void* size) {
    const std::unique_ptr<std::size_t> bytes(static_cast<std::size_t*>(size));
    live -= static_cast<double>(*bytes);
  }
};

// Positions of what is not zero are index data, on the CPU: as if every entry counted.
at::Tensor every_position(const at::Tensor& t) {
  return at::nonzero(at::ones(t.sizes(), at::kBool));
}

// An operator that has no shapes for meta in C++, on zeros of the CPU in place of its tensors.
void by_zeros(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::size_t count = op.schema().arguments().size();
  for (std::size_t i = stack->size() - count; i < stack->size(); ++i) {
    c10::IValue& v = (*stack)[i];
    if (v.isTensor() && v.toTensor().is_meta()) {
      const at::Tensor t = v.toTensor();
      v = at::zeros(t.sizes(), t.options().device(at::kCPU));
    }
  }
  op.callBoxed(stack);
  c10::IValue& out = stack->back();
  out = out.toTensor().to(at::kMeta);
}

constexpr std::array<const char*, 9> kShapeless{"abs",          "embedding_dense_backward",
                                                "index_select", "isnan",
                                                "logical_and",  "logical_not",
                                                "nan_to_num",   "relu",
                                                "where.self"};

// While it lives, meta's tensors are counted, and torch knows more of their operators.
class CountedMeta {
 public:
  CountedMeta()
      : before_(c10::GetAllocator(at::kMeta)),
        operators_(torch::Library::IMPL, "aten", c10::DispatchKey::Meta, __FILE__, __LINE__) {
    operators_.impl("nonzero", &every_position);
    for (const char* name : kShapeless) {
      operators_.impl(name, torch::CppFunction::makeFromBoxedFunction<&by_zeros>());
    }
    static MetaMemory memory;  // storages keep a pointer to it
    c10::SetAllocator(at::kMeta, &memory);
  }
  ~CountedMeta() { c10::SetAllocator(at::kMeta, before_); }
  CountedMeta(const CountedMeta&) = delete;
  CountedMeta& operator=(const CountedMeta&) = delete;

 private:
  c10::Allocator* before_;
  torch::Library operators_;
};

void move(at::Tensor& t) {
  if (t.defined() && at::isFloatingType(t.scalar_type())) t = t.to(at::kMeta);
}

// Layers hold their parameters by handle, so what is behind the handle changes; set_data refuses
// that between the CPU and meta.
void move_in_place(const at::Tensor& t) {
  const at::Tensor moved = t.detach().to(at::kMeta);
  t.unsafeGetTensorImpl()->shallow_copy_from(moved.getIntrusivePtr());
}

// What is seen of the operators that a run goes through.
struct Watch {
  std::unordered_map<const c10::StorageImpl*, std::string> layer;  // of a weight's memory
  std::string current = "the inputs";
  std::vector<std::string> strays;
};
thread_local Watch* watch = nullptr;

const c10::StorageImpl* memory_of(const at::Tensor& t) {
  return t.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

bool copies(std::string_view name) {
  return name == "aten::copy_" || name == "aten::_to_copy" || name == "aten::to";
}

void operator_seen(std::string_view name, const std::vector<at::Tensor>& tensors) {
  bool meta = false;
  const at::Tensor* stray = nullptr;
  for (const at::Tensor& t : tensors) {
    if (!t.defined()) continue;
    meta = meta || t.is_meta();
    if (t.is_cpu() && t.dim() > 0) stray = &t;  // numbers without dimensions go anywhere
    const auto at = t.is_meta() ? watch->layer.find(memory_of(t)) : watch->layer.end();
    if (at != watch->layer.end()) watch->current = at->second;
  }
  if (!meta || stray == nullptr || copies(name)) return;
  const std::string found = fmt::format("{} got [{}] on cpu beside meta, in {}", name,
                                        fmt::join(stray->sizes(), ", "), watch->current);
  auto& strays = watch->strays;
  if (std::find(strays.begin(), strays.end(), found) == strays.end()) strays.push_back(found);
}

std::unique_ptr<at::ObserverContext> operator_starts(const at::RecordFunction& f) {
  if (watch == nullptr) return nullptr;
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& v : f.inputs()) {
    if (v.isTensor()) tensors.push_back(v.toTensor());
    if (!v.isTensorList()) continue;
    for (const at::Tensor& t : v.toTensorVector()) tensors.push_back(t);
  }
  operator_seen(f.name(), tensors);
  return nullptr;
}

class Watching {
 public:
  explicit Watching(Watch& w)
      : handle_(at::addThreadLocalCallback(at::RecordFunctionCallback(operator_starts)
                                               .needsInputs(true)
                                               .scopes({at::RecordScope::FUNCTION}))) {
    watch = &w;
  }
  ~Watching() {
    at::removeCallback(handle_);
    watch = nullptr;
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

 private:
  at::CallbackHandle handle_;
};

std::string layer_of(const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? parameter : parameter.substr(0, dot);
}

void move_model(models::Model& model, Watch& w) {
  for (const auto& p : model.named_parameters()) {
    move_in_place(p.value());
    w.layer[memory_of(p.value())] = layer_of(p.key());
  }
  for (const auto& b : model.named_buffers()) {
    if (at::isFloatingType(b.value().scalar_type())) move_in_place(b.value());
  }
}

void move_batch(data::GraphBatch& batch) {
  move(batch.node);
  move(batch.edge);
  for (auto& [_, column] : batch.encoding) move(column);
}

void forward_and_backward(models::Model& model, const data::GraphBatch& batch, MetaRun& run) {
  nn::Context context;
  context.training = true;
  context.key = 1;
  const double before = MetaMemory::live;
  const at::Tensor out = model.forward(batch, context);
  TORCH_CHECK(out.is_meta(), "the output is on ", out.device(), "; expected meta");
  run.output = out.sizes().vec();
  run.kept_bytes = MetaMemory::live - before;
  torch::autograd::backward({out}, {at::empty_like(out)});
}

}  // namespace

MetaRun run_on_meta(models::Model& model, data::GraphBatch batch) {
  TORCH_CHECK(ops::has_meta(), "this build has no ops for the meta device");
  const CountedMeta counted;
  Watch w;
  const double start = MetaMemory::live;
  MetaMemory::peak = start;
  move_model(model, w);
  move_batch(batch);
  model.train();
  MetaRun run;
  {
    const Watching watching(w);
    try {
      forward_and_backward(model, batch, run);
    } catch (c10::Error& e) {
      e.add_context(fmt::format("on the meta device, in {}", w.current));
      throw;
    }
  }
  run.peak_bytes = MetaMemory::peak - start;
  run.strays = std::move(w.strays);
  return run;
}

}  // namespace gtrain::train
