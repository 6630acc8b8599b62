#include "gtrain/script/library.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <regex>

#include "gtrain/base/error.h"
#include "gtrain/base/torch_release.h"
#include "script/operator_case.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(ScriptLibrary, RegistersEveryOperatorThatItLists) {
  ASSERT_FALSE(schemas().empty());
  for (const std::string& text : schemas()) {
    const c10::FunctionSchema schema = torch::jit::parseSchema(text);
    const auto found = c10::Dispatcher::singleton().findSchema(schema.operator_name());
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(found->schema(), schema);
  }
}

TEST(ScriptLibrary, IsDescribedInThePageOfOps) {
  std::ifstream file(GTRAIN_SOURCE_DIR "/docs/ops.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string& schema : schemas()) {
    EXPECT_THAT(page, HasSubstr("\n" + schema.substr(std::string("gtrain::").size()) + "\n"));
  }
}

at::Tensor call_linear(const at::Tensor& x, const at::Tensor& weight) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("gtrain::linear", "");
  torch::jit::Stack stack{x, weight, c10::IValue(), std::string("relu")};
  op.callBoxed(stack);
  return stack.front().toTensor();
}

TEST(ScriptLibrary, RunsAnOperatorThroughTorchsDispatcher) {
  const at::Tensor x = at::randn({3, 4}), weight = at::randn({2, 4});
  EXPECT_TRUE(call_linear(x, weight).allclose(at::relu(at::linear(x, weight)), 1e-5, 1e-6));
}

TEST(ScriptLibrary, RefusesDerivativesByName) {
  const at::Tensor x = at::randn({3, 4}), weight = at::randn({2, 4}).requires_grad_();
  const at::Tensor y = call_linear(x, weight);
  EXPECT_THAT([&] { y.sum().backward(); },
              ThrowsMessage<std::exception>(HasSubstr("gtrain::linear")));
}

TEST(ScriptLibrary, RefusesOtherDevicesByName) {
  EXPECT_THAT(
      [] {
        call_linear(at::empty({3, 4}, at::kMeta), at::empty({2, 4}, at::kMeta));
      },
      ThrowsMessage<std::exception>(HasSubstr("gtrain::linear")));
}

c10::OperatorHandle handle_of(const OperatorCase& c) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(("gtrain::" + c.name).c_str(), "");
}

// A tensor among the arguments, alone or in a list.
struct Place {
  std::size_t argument, item;
};

std::vector<Place> places_of(const OperatorCase& c) {
  std::vector<Place> out;
  for (std::size_t i = 0; i < c.arguments.size(); ++i) {
    if (c.arguments[i].isTensor()) out.push_back({i, 0});
    if (!c.arguments[i].isTensorList()) continue;
    for (std::size_t k = 0; k < c.arguments[i].toTensorList().size(); ++k) out.push_back({i, k});
  }
  return out;
}

at::Tensor tensor_at(const OperatorCase& c, const Place& p) {
  const c10::IValue& value = c.arguments[p.argument];
  return value.isTensor() ? value.toTensor() : value.toTensorList().get(p.item);
}

OperatorCase with(OperatorCase c, const Place& p, const at::Tensor& t) {
  c10::IValue& value = c.arguments[p.argument];
  if (value.isTensor()) {
    value = t;
  } else {
    c10::List<at::Tensor> list = value.toTensorList().copy();
    list.set(p.item, t);
    value = list;
  }
  return c;
}

// What a call came to: tensors, or a message.
struct Outcome {
  std::vector<at::Tensor> results;
  std::string refusal;
};

// Errors are torch's, or those of data (ends of edges outside their graph).
Outcome outcome_of(const OperatorCase& c) {
  torch::jit::Stack stack = c.arguments;
  try {
    handle_of(c).callBoxed(stack);
  } catch (const c10::Error& e) {
    return {{}, e.what_without_backtrace()};
  } catch (const base::DataError& e) {
    return {{}, e.what()};
  }
  Outcome out;
  for (const c10::IValue& value : stack) {
    const auto tensors = value.isTensor() ? std::vector{value.toTensor()} : value.toTensorVector();
    out.results.insert(out.results.end(), tensors.begin(), tensors.end());
  }
  return out;
}

void expect_same(const Outcome& got, const Outcome& want, const std::string& what) {
  EXPECT_EQ(got.refusal.empty(), want.refusal.empty()) << what << got.refusal << want.refusal;
  ASSERT_EQ(got.results.size(), want.results.size()) << what;
  for (std::size_t i = 0; i < want.results.size(); ++i) {
    EXPECT_TRUE(support::same_bits(got.results[i], want.results[i])) << what << " result " << i;
  }
}

std::vector<support::EdgeBatch> batches() {
  return {support::pack_odd_graphs(), support::pack({support::edgeless(3), support::edgeless(1)}),
          support::pack({support::edgeless(0)})};
}

std::vector<OperatorCase> cases() {
  std::vector<OperatorCase> out;
  for (const support::EdgeBatch& b : batches()) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      for (const OperatorCase& c : OperatorCases(b, type).all()) out.push_back(c);
    }
  }
  return out;
}

using Change = std::pair<const char*, at::Tensor (*)(const at::Tensor&)>;

// The same numbers, elsewhere in memory; 77 stands between them. Double is not shifted: the BLAS's
// products of doubles go by their alignment.
const Change kLayouts[] = {
    {"spaced",
     [](const at::Tensor& t) {
       return at::stack({t, at::full_like(t, 77)}, -1).select(-1, 0);
     }},
    {"transposed",
     [](const at::Tensor& t) { return t.transpose(0, -1).contiguous().transpose(0, -1); }},
    {"shifted", [](const at::Tensor& t) {
       const std::int64_t before = t.scalar_type() == at::kDouble ? 0 : 1;
       const at::Tensor junk = at::full({before}, 77, t.options());
       return at::cat({junk, t.flatten()}).slice(0, before).view(t.sizes());
     }}};

TEST(ScriptLibrary, HasACaseForEveryOperator) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  std::set<std::string> listed, tried;
  for (const std::string& text : schemas()) listed.insert(torch::jit::parseSchema(text).name());
  for (const OperatorCase& c : OperatorCases(b, at::kFloat).all())
    tried.insert("gtrain::" + c.name);
  EXPECT_EQ(tried, listed);
}

TEST(ScriptLibrary, OperatorsReadTensorsOfAnyLayout) {
  for (const OperatorCase& c : cases()) {
    const Outcome want = outcome_of(c);
    EXPECT_EQ(want.refusal, "") << c.name;
    for (const auto& [name, layout] : kLayouts) {
      OperatorCase every = c;
      for (const Place& p : places_of(c)) {
        const at::Tensor t = layout(tensor_at(c, p));
        every = with(every, p, t);
        expect_same(outcome_of(with(c, p, t)), want, c.name + " " + name);
      }
      expect_same(outcome_of(every), want, c.name + " " + name);
    }
  }
}

TEST(ScriptLibrary, OperatorsReadOneRowStandingForAll) {
  for (const OperatorCase& c : cases()) {
    for (const Place& p : places_of(c)) {
      const at::Tensor t = tensor_at(c, p);
      if (t.size(0) == 0) continue;
      const at::Tensor row = t.slice(0, 0, 1).expand(t.sizes());
      expect_same(outcome_of(with(c, p, row)), outcome_of(with(c, p, row.clone())), c.name);
    }
  }
}

TEST(ScriptLibrary, OperatorsOfNothingGiveNothing) {
  const support::EdgeBatch b = support::pack({support::edgeless(0)});
  for (const OperatorCase& c : OperatorCases(b, at::kFloat).all()) {
    for (const at::Tensor& t : outcome_of(c).results) {
      EXPECT_EQ(t.count_nonzero().item<std::int64_t>(), 0) << c.name;
    }
  }
}

void expect_own_results(const OperatorCase& c) {
  const Outcome found = outcome_of(c);
  EXPECT_EQ(found.refusal, "") << c.name;
  for (const at::Tensor& t : found.results) {
    for (const Place& p : places_of(c)) EXPECT_FALSE(t.is_alias_of(tensor_at(c, p))) << c.name;
  }
}

TEST(ScriptLibrary, OperatorsReturnTensorsOfTheirOwnWithAndWithoutWhatIsOptional) {
  for (const OperatorCase& c : cases()) {
    expect_own_results(c);
    for (const Place& p : places_of(c)) {
      OperatorCase less = c;
      less.arguments[p.argument] = c10::IValue();
      const c10::TypePtr type = handle_of(c).schema().arguments()[p.argument].type();
      if (type->kind() == c10::TypeKind::OptionalType) expect_own_results(less);
    }
  }
}

at::ScalarType other_type(at::ScalarType type) {
  if (type == at::kFloat) return at::kDouble;
  return type == at::kLong ? at::kInt : type == at::kInt ? at::kLong : at::kFloat;
}

const Change kMisfits[] = {
    {"shorter", [](const at::Tensor& t) { return t.slice(0, 0, -1); }},
    {"narrower", [](const at::Tensor& t) { return t.slice(-1, 0, -1); }},
    {"deeper", [](const at::Tensor& t) { return t.unsqueeze(0); }},
    {"nested", [](const at::Tensor& t) { return t.unsqueeze(-1); }},
    {"flatter", [](const at::Tensor& t) { return t.select(-1, 0); }},
    {"type", [](const at::Tensor& t) { return t.to(other_type(t.scalar_type())); }},
    {"number",
     [](const at::Tensor& t) { return t.to(t.is_floating_point() ? at::kLong : at::kFloat); }},
    {"elsewhere", [](const at::Tensor& t) { return t.to(at::kMeta); }}};

// Whether a message holds the operator's name, or a word for one of its arguments.
bool names_what_is_wrong(const std::string& message, const OperatorCase& c) {
  if (message.find(c.name) != std::string::npos) return true;
  std::set<std::string> words = c.aliases;
  for (const c10::Argument& a : handle_of(c).schema().arguments()) words.insert(a.name());
  for (const std::string& word : words) {
    const std::string noun = std::regex_replace(word, std::regex("(_[0-9]|s)$"), "");
    const std::regex either("\\b(" + word + "|" + noun + ")\\b");
    if (std::regex_search(message, either)) return true;
  }
  return false;
}

TEST(ScriptLibrary, OperatorsRefuseTensorsThatDoNotFitByName) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    for (const OperatorCase& c : OperatorCases(support::pack_odd_graphs(), type).all()) {
      for (const Place& p : places_of(c)) {
        const std::string name = handle_of(c).schema().arguments()[p.argument].name();
        for (const auto& [change, misfit] : kMisfits) {
          const std::string which = name + ":" + change;
          const at::Tensor t = tensor_at(c, p);
          if (t.dim() == 1 && which == name + ":narrower") continue;  // shorter
          const Outcome found = outcome_of(with(c, p, misfit(t)));
          EXPECT_EQ(found.refusal.empty(), c.fitting.contains(which))
              << c.name << " " << which << p.item << " " << found.refusal;
          EXPECT_TRUE(found.refusal.empty() || names_what_is_wrong(found.refusal, c))
              << c.name << " " << which << ": " << found.refusal;
        }
      }
    }
  }
}

TEST(ScriptLibrary, CanReadTheVersionOfThisTorch) {
  EXPECT_NE(base::torch_version_in(at::show_config()), "");
}

}  // namespace
}  // namespace gtrain::script
