// Option fields: every options struct states its keys, defaults, bounds and documentation once, in
// `void fields(FieldVisitor&)`. Decoding a recipe, refusing unknown keys, dumping the resolved
// recipe, `gtrain explain`, docs/recipe.md and the JSON Schema are all visitors over that list.
//
//   struct WalkOptions {
//     static constexpr std::string_view kName = "random_walk";
//     static constexpr std::string_view kDoc = "landing probabilities diag((D^-1 A)^t)";
//     std::int64_t steps = 16;
//     void fields(FieldVisitor& f) {
//       f({.key = "steps", .doc = "walk lengths 1..steps", .min = 1, .max = 256}, steps);
//     }
//   };
//
// A tagged choice is a std::variant of such structs: `{name: random_walk, steps: 20}` selects the
// alternative whose kName stands under the tag key. No YAML type appears here.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gtrain::base {

struct Field {
  std::string_view key;
  std::string_view doc = {};
  double min = -std::numeric_limits<double>::infinity();  // of a number, or of each list element
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string_view> one_of = {};  // allowed values of a string
  bool required = false;                      // absent key is a problem
  std::string_view tag = "name";              // tag key of a choice
};

class FieldVisitor;

// Type-erased std::vector of structs or choices.
class ListAccess {
 public:
  virtual ~ListAccess() = default;
  virtual std::size_t size() const = 0;
  virtual void resize(std::size_t n) = 0;
  virtual void element(std::size_t i, const Field& field, FieldVisitor& visitor) = 0;
  // Visits a default-constructed element (for documentation).
  virtual void describe(const Field& field, FieldVisitor& visitor) = 0;
};

// Type-erased std::variant of option structs.
class ChoiceAccess {
 public:
  struct Alternative {
    std::string_view name, doc;
  };
  virtual ~ChoiceAccess() = default;
  virtual std::vector<Alternative> alternatives() const = 0;
  virtual std::string_view selected() const = 0;
  virtual bool select(std::string_view name) = 0;                   // false: no such alternative
  virtual void fields(FieldVisitor& visitor) = 0;                   // of the selected alternative
  virtual void describe(std::size_t i, FieldVisitor& visitor) = 0;  // of alternative i, defaults
};

// Type-erased std::optional of an options struct.
class MaybeAccess {
 public:
  virtual ~MaybeAccess() = default;
  virtual bool present() const = 0;
  virtual void emplace() = 0;
  virtual void fields(FieldVisitor& visitor) = 0;    // only while present
  virtual void describe(FieldVisitor& visitor) = 0;  // defaults
};

template <class T>
concept OptionStruct = requires(T& t, FieldVisitor& v) {
  t.fields(v);
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  virtual void operator()(const Field&, bool&) = 0;
  virtual void operator()(const Field&, std::int64_t&) = 0;
  virtual void operator()(const Field&, double&) = 0;
  virtual void operator()(const Field&, std::string&) = 0;
  virtual void operator()(const Field&, std::optional<bool>&) = 0;
  virtual void operator()(const Field&, std::optional<std::int64_t>&) = 0;
  virtual void operator()(const Field&, std::optional<double>&) = 0;
  virtual void operator()(const Field&, std::vector<std::int64_t>&) = 0;
  virtual void operator()(const Field&, std::vector<double>&) = 0;
  virtual void operator()(const Field&, std::vector<std::string>&) = 0;
  // Every key of the enclosing map that no other field claims; values are numbers.
  virtual void rest(const Field&, std::map<std::string, double>&) = 0;

  using Body = std::function<void(FieldVisitor&)>;
  virtual void object(const Field&, const Body& fields) = 0;
  virtual void maybe(const Field&, MaybeAccess&) = 0;
  virtual void list(const Field&, ListAccess&) = 0;
  virtual void choice(const Field&, ChoiceAccess&) = 0;

  // A constraint between fields, stated after them. `path` is relative to the enclosing struct
  // ("heads", "encoders[0].of"). Reported by the decoder; other visitors ignore it.
  virtual void require(bool holds, std::string_view path, const std::string& message) = 0;

  template <OptionStruct T>
  void operator()(const Field& field, T& value) {
    object(field, [&](FieldVisitor& v) { value.fields(v); });
  }
  template <OptionStruct T>
  void operator()(const Field& field, std::optional<T>& value);
  template <class... Ts>
  void operator()(const Field& field, std::variant<Ts...>& value);
  template <OptionStruct T>
  void operator()(const Field& field, std::vector<T>& value);
  template <class... Ts>
  void operator()(const Field& field, std::vector<std::variant<Ts...>>& value);
};

namespace detail {

template <class T>
class Maybe final : public MaybeAccess {
 public:
  explicit Maybe(std::optional<T>& value) : value_(value) {}
  bool present() const override { return value_.has_value(); }
  void emplace() override { value_.emplace(); }
  void fields(FieldVisitor& v) override { value_->fields(v); }
  void describe(FieldVisitor& v) override { T{}.fields(v); }

 private:
  std::optional<T>& value_;
};

template <class T>
class List final : public ListAccess {
 public:
  explicit List(std::vector<T>& value) : value_(value) {}
  std::size_t size() const override { return value_.size(); }
  void resize(std::size_t n) override { value_.resize(n); }
  void element(std::size_t i, const Field& f, FieldVisitor& v) override { v(f, value_[i]); }
  void describe(const Field& f, FieldVisitor& v) override {
    T fresh{};
    v(f, fresh);
  }

 private:
  std::vector<T>& value_;
};

template <class... Ts>
class Choice final : public ChoiceAccess {
 public:
  explicit Choice(std::variant<Ts...>& value) : value_(value) {}
  std::vector<Alternative> alternatives() const override { return {{Ts::kName, Ts::kDoc}...}; }
  std::string_view selected() const override {
    return std::visit([](const auto& o) { return std::decay_t<decltype(o)>::kName; }, value_);
  }
  bool select(std::string_view name) override {
    return ((Ts::kName == name ? (value_.template emplace<Ts>(), true) : false) || ...);
  }
  void fields(FieldVisitor& v) override {
    std::visit([&](auto& o) { o.fields(v); }, value_);
  }
  void describe(std::size_t i, FieldVisitor& v) override {
    std::size_t at = 0;
    ((at++ == i ? Ts{}.fields(v) : void()), ...);
  }

 private:
  std::variant<Ts...>& value_;
};

}  // namespace detail

template <OptionStruct T>
void FieldVisitor::operator()(const Field& field, std::optional<T>& value) {
  detail::Maybe<T> access(value);
  maybe(field, access);
}
template <class... Ts>
void FieldVisitor::operator()(const Field& field, std::variant<Ts...>& value) {
  detail::Choice<Ts...> access(value);
  choice(field, access);
}
template <OptionStruct T>
void FieldVisitor::operator()(const Field& field, std::vector<T>& value) {
  detail::List<T> access(value);
  list(field, access);
}
template <class... Ts>
void FieldVisitor::operator()(const Field& field, std::vector<std::variant<Ts...>>& value) {
  detail::List<std::variant<Ts...>> access(value);
  list(field, access);
}

}  // namespace gtrain::base
