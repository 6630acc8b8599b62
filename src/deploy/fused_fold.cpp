#include "gtrain/deploy/fused_fold.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "deploy/detail/affine.h"

namespace gtrain::deploy {
namespace {

using detail::Affine;
using detail::constant_tensor;
using detail::is;
using torch::jit::Node;
using torch::jit::Value;

constexpr double kEpsilon = 1e-5;  // what gtrain::batch_norm adds to a variance

bool read_once(const Value* value) { return value->uses().size() == 1; }

bool is_none(Value* value) {
  return value->mustBeNone() ||
         (torch::jit::toIValue(value) && torch::jit::toIValue(value)->isNone());
}

std::optional<std::string> constant_text(Value* value) {
  const auto constant = torch::jit::toIValue(value);
  if (!constant || !constant->isString()) return std::nullopt;
  return constant->toStringRef();
}

// An added tensor: constant factors of its columns, undefined: 1.
struct Term {
  Value* rows = nullptr;
  at::Tensor scale;  // float64
};

// A product with constant weights as a call of one of the three operators holds it.
struct Product {
  Value* input = nullptr;
  std::vector<at::Tensor> weights, biases;  // one or two layers; biases may be undefined
  std::string activation;                   // of linear_sum, or between the two layers
  std::vector<Term> terms;

  bool feeds() const { return weights.size() == 2; }
  // Whether the output is the last product as it is: nothing stands behind it but terms.
  bool is_plain() const { return feeds() || activation == "none"; }
};

// A list that is written out where it is used, or is an empty constant.
std::optional<std::vector<Value*>> list_of(Value* value) {
  Node* node = value->node();
  if (node->kind() == c10::prim::ListConstruct) return node->inputs().vec();
  const auto constant = torch::jit::toIValue(value);
  if (constant && constant->isTensorList() && constant->toTensorVector().empty()) {
    return std::vector<Value*>{};
  }
  return std::nullopt;
}

bool read_layer(Value* weight, Value* bias, Product& out) {
  const auto w = constant_tensor(weight);
  if (!w) return false;
  const auto b = constant_tensor(bias);
  if (!b && !is_none(bias)) return false;
  out.weights.push_back(*w);
  out.biases.push_back(b.value_or(at::Tensor()));
  return true;
}

bool read_terms(Value* terms, Value* scales, Product& out) {
  const auto rows = list_of(terms), factors = list_of(scales);
  if (!rows || !factors || (!factors->empty() && factors->size() != rows->size())) return false;
  for (std::size_t i = 0; i < rows->size(); ++i) {
    Term term{(*rows)[i], {}};
    if (!factors->empty()) {
      const auto scale = constant_tensor((*factors)[i]);
      if (!scale) return false;
      term.scale = scale->to(at::kDouble);
    }
    out.terms.push_back(term);
  }
  return true;
}

std::optional<Product> product_of(Node* node) {
  const bool linear = is(node, "gtrain::linear"), sum = is(node, "gtrain::linear_sum");
  const bool feed = is(node, "gtrain::feed_forward");
  if (!linear && !sum && !feed) return std::nullopt;
  Product out;
  out.input = node->input(0);
  const auto activation = constant_text(node->input(3));
  if (!activation || !read_layer(node->input(1), node->input(2), out)) return std::nullopt;
  out.activation = *activation;
  if (feed && !read_layer(node->input(4), node->input(5), out)) return std::nullopt;
  if (!linear && !read_terms(node->input(feed ? 6 : 4), node->input(feed ? 7 : 5), out)) {
    return std::nullopt;
  }
  return out;
}

// gtrain::batch_norm(x, residual, weight, bias, mean, variance)
std::optional<Affine> norm_of(Node* node) {
  if (!is(node, "gtrain::batch_norm")) return std::nullopt;
  return detail::affine_of({node->input(2), node->input(3), node->input(4), node->input(5)},
                           kEpsilon);
}

void add_to(at::Tensor& bias, const at::Tensor& shift) {
  bias = bias.defined() ? (bias.to(at::kDouble) + shift).to(bias.scalar_type()) : shift;
}

// Of what comes out: times the scale, plus the shift.
void scale_output(Product& p, const Affine& affine) {
  at::Tensor &w = p.weights.back(), &b = p.biases.back();
  w = (w.to(at::kDouble) * affine.scale.unsqueeze(1)).to(w.scalar_type());
  if (b.defined()) b = (b.to(at::kDouble) * affine.scale).to(b.scalar_type());
  add_to(b, affine.shift);
  for (Term& term : p.terms) {
    term.scale = term.scale.defined() ? term.scale * affine.scale : affine.scale;
  }
}

void scale_input(Product& p, const Affine& affine) {
  const at::Tensor exact = p.weights.front().to(at::kDouble);
  add_to(p.biases.front(), at::mv(exact, affine.shift));
  p.weights.front() = (exact * affine.scale).to(p.weights.front().scalar_type()).contiguous();
}

// Terms that are batch norms read by this product alone become what they norm.
// Not behind an activation: the shift of a norm belongs after it.
bool open_terms(Product& p) {
  if (!p.is_plain()) return false;
  for (std::size_t i = 0; i < p.terms.size(); ++i) {
    const Term term = p.terms[i];
    Node* norm = term.rows->node();
    const auto affine = read_once(term.rows) ? norm_of(norm) : std::nullopt;
    if (!affine) continue;
    const at::Tensor scale = term.scale.defined() ? affine->scale * term.scale : affine->scale;
    add_to(p.biases.back(), term.scale.defined() ? affine->shift * term.scale : affine->shift);
    p.terms[i] = {norm->input(0), scale};
    if (!is_none(norm->input(1))) p.terms.push_back({norm->input(1), scale});
    return true;
  }
  return false;
}

// Writes a product as a call before `place`.
class Writer {
 public:
  explicit Writer(Node* place) : graph_(*place->owningGraph()), guard_(place) {}

  Value* write(const Product& p, const c10::TypePtr& type) {
    std::vector<Value*> inputs{p.input};
    const at::ScalarType kind = p.weights.front().scalar_type();
    layer(p, 0, inputs);
    inputs.push_back(graph_.insertConstant(p.activation));
    if (p.feeds()) layer(p, 1, inputs);
    std::vector<Value*> rows, scales;
    bool scaled = false;
    for (const Term& term : p.terms) scaled = scaled || term.scale.defined();
    for (const Term& term : p.terms) {
      rows.push_back(term.rows);
      if (!scaled) continue;
      const at::Tensor ones = at::ones({p.weights.back().size(0)}, at::kDouble);
      scales.push_back(constant((term.scale.defined() ? term.scale : ones).to(kind)));
    }
    inputs.push_back(list(rows));
    inputs.push_back(list(scales));
    const char* name = p.feeds() ? "gtrain::feed_forward" : "gtrain::linear_sum";
    Node* made = graph_.insertNode(graph_.create(c10::Symbol::fromQualString(name), inputs));
    made->output()->setType(type);
    return made->output();
  }

 private:
  Value* constant(const at::Tensor& values) { return graph_.insertConstant(values); }

  void layer(const Product& p, std::size_t i, std::vector<Value*>& inputs) {
    inputs.push_back(constant(p.weights[i]));
    inputs.push_back(p.biases[i].defined() ? constant(p.biases[i].to(p.weights[i].scalar_type()))
                                           : graph_.insertConstant(c10::IValue()));
  }

  Value* list(const std::vector<Value*>& values) {
    return graph_.insertNode(graph_.createList(c10::TensorType::get(), values))->output();
  }

  torch::jit::Graph& graph_;
  torch::jit::WithInsertPoint guard_;
};

std::optional<Product> only_reader_of_product(Value* value) {
  return read_once(value) ? product_of(value->node()) : std::nullopt;
}

// gtrain::batch_norm(f(x), r, ...)
std::optional<Product> with_norm(Node* node) {
  const auto affine = norm_of(node);
  auto product = affine ? only_reader_of_product(node->input(0)) : std::nullopt;
  if (!product || !product->is_plain()) return std::nullopt;
  if (!is_none(node->input(1))) product->terms.push_back({node->input(1), {}});
  scale_output(*product, *affine);
  return product;
}

// gtrain::activate(f(x), activation, r)
std::optional<Product> with_activation(Node* node) {
  if (!is(node, "gtrain::activate")) return std::nullopt;
  const auto activation = constant_text(node->input(1));
  auto product = activation ? only_reader_of_product(node->input(0)) : std::nullopt;
  if (!product) return std::nullopt;
  if (*activation != "none") {
    const bool free = !product->feeds() && product->activation == "none" && product->terms.empty();
    if (!free) return std::nullopt;
    product->activation = *activation;
  }
  if (!is_none(node->input(2))) product->terms.push_back({node->input(2), {}});
  return product;
}

// f(batch_norm(x)) or a term that is one.
std::optional<Product> without_norms(Node* node) {
  auto product = product_of(node);
  if (!product) return std::nullopt;
  bool changed = false;
  Node* norm = product->input->node();
  const auto affine = read_once(product->input) ? norm_of(norm) : std::nullopt;
  if (affine && is_none(norm->input(1))) {
    scale_input(*product, *affine);
    product->input = norm->input(0);
    changed = true;
  }
  while (open_terms(*product)) changed = true;
  return changed ? product : std::nullopt;
}

class Folder {
 public:
  void fold(Node* node) {
    if (gone_.contains(node)) return;
    auto product = with_norm(node);
    if (!product) product = with_activation(node);
    if (!product) product = without_norms(node);
    if (!product) return;
    Value* made = Writer(node).write(*product, node->output()->type());
    node->output()->replaceAllUsesWith(made);
    remove(node);
    fold(made->node());
  }

  // What was replaced goes in the end: a node made meanwhile would get the address of one that is
  // no more.
  void clear() {
    for (Node* node : gone_) node->destroy();
    gone_.clear();
  }

 private:
  // With what it alone read, so that uses count readers only.
  void remove(Node* node) {
    const bool ours = node->kind().ns() == c10::Symbol::fromQualString("namespaces::gtrain") ||
                      node->kind() == c10::prim::ListConstruct;
    if (!ours || node->hasUses() || gone_.contains(node)) return;
    const std::vector<Value*> inputs = node->inputs().vec();
    gone_.insert(node);
    node->removeAllInputs();
    for (Value* input : inputs) {
      if (!input->hasUses()) remove(input->node());
    }
  }

  std::unordered_set<Node*> gone_;
};

}  // namespace

void fold_fused(torch::jit::Graph& graph) {
  std::vector<Node*> nodes;
  detail::each_node(graph.block(), [&](Node* node) { nodes.push_back(node); });
  Folder folder;
  for (Node* node : nodes) folder.fold(node);
  folder.clear();
}

}  // namespace gtrain::deploy
