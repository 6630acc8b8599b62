#include "gtrain/ops/flop_count.h"

#include <ATen/ExpandUtils.h>
#include <ATen/ops/count_nonzero.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ops/detail/op_count.h"

namespace gtrain::ops {
namespace {

// What an operator of torch costs. Names without the underscore of the in-place form.
enum class Form {
  kFree,     // moves, makes or compares numbers
  kInside,   // made of others, which are counted
  kMap,      // a number of operations for each element of the result
  kFold,     // … of its first operand
  kProduct,  // of matrices
};
struct Rule {
  Form form;
  double each = 0;
  Work work = Work::kElement;
};

const std::unordered_map<std::string_view, Rule>& rules() {
  static const std::unordered_map<std::string_view, Rule> table = [] {
    std::unordered_map<std::string_view, Rule> out;
    for (const char* name : {"alias",
                             "argmax",
                             "argmin",
                             "argsort",
                             "as_strided",
                             "broadcast_to",
                             "cat",
                             "chunk",
                             "clone",
                             "constant_pad_nd",
                             "contiguous",
                             "copy",
                             "count_nonzero",
                             "detach",
                             "embedding",
                             "empty_like",
                             "eq",
                             "expand",
                             "expand_as",
                             "fill",
                             "flatten",
                             "flip",
                             "full_like",
                             "gather",
                             "ge",
                             "gt",
                             "index",
                             "index_copy",
                             "index_select",
                             "is_nonzero",
                             "isfinite",
                             "isinf",
                             "isnan",
                             "item",
                             "le",
                             "lift_fresh",
                             "logical_not",
                             "lt",
                             "masked_fill",
                             "masked_select",
                             "movedim",
                             "nan_to_num",
                             "narrow",
                             "ne",
                             "neg",
                             "new_empty",
                             "new_full",
                             "new_ones",
                             "new_zeros",
                             "nonzero",
                             "numpy_T",
                             "ones_like",
                             "permute",
                             "repeat",
                             "repeat_interleave",
                             "requires_grad",
                             "reshape",
                             "resolve_conj",
                             "resolve_neg",
                             "result_type",
                             "resize",
                             "scatter",
                             "select",
                             "set",
                             "slice",
                             "sort",
                             "split",
                             "squeeze",
                             "stack",
                             "t",
                             "to",
                             "_to_copy",
                             "topk",
                             "transpose",
                             "unbind",
                             "unflatten",
                             "unsafe_chunk",
                             "unsafe_split",
                             "unsqueeze",
                             "view",
                             "view_as",
                             "where",
                             "zero",
                             "zeros_like",
                             "_local_scalar_dense",
                             "_reshape_alias",
                             "_unsafe_view",
                             "is_same_size",
                             "_has_compatible_shallow_copy_type"}) {
      out[name] = {Form::kFree};
    }
    for (const char* name : {"einsum", "tensordot", "linalg_vector_norm_out"}) {
      out[name] = {Form::kInside};
    }
    for (const char* name :
         {"add",   "sub",   "rsub",       "mul",       "div",     "exp",     "log",
          "sqrt",  "rsqrt", "reciprocal", "square",    "pow",     "abs",     "sign",
          "floor", "relu",  "clamp_min",  "clamp_max", "maximum", "minimum", "tanh",
          "erf",   "sin",   "cos",        "multiply",  "divide",  "subtract"}) {
      out[name] = {Form::kMap, 1};
    }
    for (const char* name : {"clamp", "leaky_relu", "elu", "addcmul", "addcdiv", "lerp"}) {
      out[name] = {Form::kMap, 2};
    }
    out["sigmoid"] = {Form::kMap, 3};  // 1 / (1 + exp(-x))
    out["silu"] = {Form::kMap, 4};
    out["gelu"] = {Form::kMap, 5};  // (x / 2) (1 + erf(x / sqrt 2))
    for (const char* name : {"sum", "mean", "max", "min", "amax", "amin", "cumsum", "prod"}) {
      out[name] = {Form::kFold, 1};
    }
    for (const char* name : {"norm", "linalg_vector_norm"}) out[name] = {Form::kFold, 2};
    for (const char* name : {"softmax", "_softmax", "log_softmax", "_log_softmax"}) {
      out[name] = {Form::kFold, 5};
    }
    out["var"] = {Form::kFold, 4};
    for (const char* name : {"index_add", "scatter_add", "scatter_reduce"}) {
      out[name] = {Form::kMap, 1, Work::kMessage};
    }
    for (const char* name : {"mm", "bmm", "matmul", "mv", "addmm", "baddbmm", "linear", "dot"}) {
      out[name] = {Form::kProduct, 2, Work::kProduct};
    }
    return out;
  }();
  return table;
}

std::string_view plain_name(std::string_view name) {
  constexpr std::string_view kPrefix = "aten::";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  if (name.size() > 1 && name.ends_with('_')) name.remove_suffix(1);
  return name;
}

const void* memory_of(const at::Tensor& t) {
  return t.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

double number(const at::Tensor& t) { return static_cast<double>(t.numel()); }

// Numbers of the result that operands of these shapes give together.
double broadcast_number(const std::vector<at::Tensor>& tensors) {
  std::vector<std::int64_t> sizes;
  for (const at::Tensor& t : tensors) sizes = at::infer_size(sizes, t.sizes());
  double out = 1;
  for (const std::int64_t size : sizes) out *= static_cast<double>(size);
  return out;
}

// a [.., m, k] b [.., k, n]; vectors lack m or n.
double matrix_flops(const at::Tensor& a, const at::Tensor& b) {
  if (b.dim() == 1) return 2 * number(a);
  if (a.dim() == 1) return 2 * number(b);
  const auto batches = [](const at::Tensor& t) { return t.sizes().slice(0, t.dim() - 2); };
  double out = 2;
  for (const std::int64_t size : at::infer_size(batches(a), batches(b))) {
    out *= static_cast<double>(size);
  }
  return out * static_cast<double>(a.size(-2) * a.size(-1) * b.size(-1));
}

double product_flops(std::string_view name, const std::vector<at::Tensor>& t) {
  if (name == "linear") {
    const double out = number(t[0]) /
                       static_cast<double>(std::max<std::int64_t>(1, t[0].size(-1))) *
                       static_cast<double>(t[1].size(0));
    return 2 * number(t[0]) * static_cast<double>(t[1].size(0)) + (t.size() > 2 ? out : 0);
  }
  if (name == "addmm" || name == "baddbmm") {
    const double k = static_cast<double>(std::max<std::int64_t>(1, t[1].size(-1)));
    const double product = matrix_flops(t[1], t[2]);
    return product + product / 2 / k;
  }
  return matrix_flops(t[0], t[1]);
}

double flops_of(const Rule& rule, std::string_view name, const std::vector<at::Tensor>& tensors) {
  switch (rule.form) {
    case Form::kMap:
      // What is added by index; the result may be larger.
      return rule.each *
             (rule.work == Work::kMessage ? number(tensors.back()) : broadcast_number(tensors));
    case Form::kFold:
      return rule.each * number(tensors.front());
    case Form::kProduct:
      return product_flops(name, tensors);
    default:
      return 0;
  }
}

// Operands that are floating-point numbers.
std::vector<at::Tensor> numbers_of(const at::RecordFunction& f) {
  std::vector<at::Tensor> out;
  const auto keep = [&](const at::Tensor& t) {
    if (t.defined() && at::isFloatingType(t.scalar_type())) out.push_back(t);
  };
  for (const c10::IValue& v : f.inputs()) {
    if (v.isTensor()) keep(v.toTensor());
    if (!v.isTensorList()) continue;
    for (const at::Tensor& t : v.toTensorVector()) keep(t);
  }
  return out;
}

// Of an operator inside which nothing is counted.
struct Entered final : at::ObserverContext {};

}  // namespace

struct FlopCount::State {
  std::unordered_map<const void*, std::string> of_memory, of_layer;
  struct Zeros {
    std::int64_t numbers = -1;
    std::int64_t version = 0;
    double count = 0;
  };
  std::unordered_map<const void*, Zeros> zeros;  // of weights
  std::map<std::string, Flops> modules;
  std::set<std::string> unknown;
  const void* scope = nullptr;
  int inside = 0;  // ops and operators that are counted as a whole
  at::CallbackHandle handle = 0;

  const std::string& owner(const at::Tensor& parameter) const {
    if (parameter.defined()) {
      const auto at = of_memory.find(memory_of(parameter));
      if (at != of_memory.end()) return at->second;
    }
    static const std::string nobody;
    const auto at = of_layer.find(scope);
    return at != of_layer.end() ? at->second : nobody;
  }

  bool owns(const at::Tensor& t) const { return t.defined() && of_memory.contains(memory_of(t)); }

  // Looked for once, until the weight changes.
  double zeros_of(const at::Tensor& weight) {
    const std::int64_t version = weight._version();
    Zeros& known = zeros[memory_of(weight)];
    if (known.numbers != weight.numel() || known.version != version) {
      known = {weight.numel(), version, number(weight) - at::count_nonzero(weight).item<double>()};
    }
    return known.count;
  }

  void add(Work work, double flops, const at::Tensor& parameter) {
    modules[owner(parameter)].of[static_cast<std::size_t>(work)] += flops;
  }

  // True: nothing inside it is counted.
  bool observe(const at::RecordFunction& f) {
    if (inside > 0) return true;
    const std::vector<at::Tensor> tensors = numbers_of(f);
    if (tensors.empty()) return true;
    const std::string_view name = plain_name(f.name());
    const auto rule = rules().find(name);
    if (rule == rules().end()) {
      unknown.insert(f.name());
      return false;
    }
    if (rule->second.form == Form::kInside) return false;
    const double flops = flops_of(rule->second, name, tensors);
    if (flops > 0) {
      const auto parameter = std::find_if(tensors.begin(), tensors.end(),
                                          [&](const at::Tensor& t) { return owns(t); });
      add(rule->second.work, flops, parameter == tensors.end() ? at::Tensor() : *parameter);
    }
    return true;
  }
};

namespace {

thread_local FlopCount::State* active = nullptr;

std::unique_ptr<at::ObserverContext> operator_starts(const at::RecordFunction& f) {
  if (active == nullptr || !active->observe(f)) return nullptr;
  ++active->inside;
  return std::make_unique<Entered>();
}

void operator_ends(const at::RecordFunction&, at::ObserverContext* context) {
  if (active != nullptr && context != nullptr) --active->inside;
}

}  // namespace

std::string_view name_of(Work work) {
  constexpr std::array<std::string_view, kWorks> kNames{"product", "attention", "message", "norm",
                                                        "element"};
  return kNames.at(static_cast<std::size_t>(work));
}

double Flops::total() const {
  double sum = 0;
  for (const double f : of) sum += f;
  return sum;
}

Flops& Flops::operator+=(const Flops& other) {
  for (std::size_t i = 0; i < kWorks; ++i) of[i] += other.of[i];
  zeros += other.zeros;
  return *this;
}

FlopCount::FlopCount() : state_(std::make_unique<State>()) {
  TORCH_CHECK(active == nullptr, "[FlopCount] this thread counts already");
  active = state_.get();
  state_->handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(operator_starts, operator_ends)
                                     .needsInputs(true)
                                     .scopes({at::RecordScope::FUNCTION}));
}

FlopCount::~FlopCount() {
  at::removeCallback(state_->handle);
  active = nullptr;
}

void FlopCount::name(const at::Tensor& parameter, const std::string& module) {
  state_->of_memory[memory_of(parameter)] = module;
}

void FlopCount::name(const torch::nn::Module& layer, const std::string& module) {
  state_->of_layer[&layer] = module;
}

const std::map<std::string, Flops>& FlopCount::modules() const { return state_->modules; }

Flops FlopCount::total() const {
  Flops sum;
  for (const auto& [_, flops] : state_->modules) sum += flops;
  return sum;
}

const std::set<std::string>& FlopCount::unknown() const { return state_->unknown; }

FlopScope::FlopScope(const torch::nn::Module& layer)
    : outer_(active != nullptr ? active->scope : nullptr) {
  if (active != nullptr) active->scope = &layer;
}

FlopScope::~FlopScope() {
  if (active != nullptr) active->scope = outer_;
}

namespace detail {

OpCount::OpCount() : state_(active != nullptr && active->inside == 0 ? active : nullptr) {
  if (active != nullptr) ++active->inside;
}

OpCount::~OpCount() {
  if (active != nullptr) --active->inside;
}

void OpCount::add(Work work, double flops, const at::Tensor& parameter) const {
  state_->add(work, flops, parameter);
}

void OpCount::product(std::int64_t rows, const at::Tensor& weight, const at::Tensor& bias) const {
  const auto n = static_cast<double>(rows);
  add(Work::kProduct, 2 * n * number(weight) + (bias.defined() ? n * number(bias) : 0), weight);
  if (weight.is_meta() || !state_->owns(weight)) return;
  state_->modules[state_->owner(weight)].zeros += 2 * n * state_->zeros_of(weight);
}

double square_pairs(const at::Tensor& graph_start) {
  const auto* start = graph_start.const_data_ptr<std::int64_t>();
  double pairs = 0;
  for (std::int64_t g = 0; g + 1 < graph_start.size(0); ++g) {
    const auto n = static_cast<double>(start[g + 1] - start[g]);
    pairs += n * n;
  }
  return pairs;
}

}  // namespace detail
}  // namespace gtrain::ops
