#include "gtrain/encode/option_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <type_traits>

#include "gtrain/base/error.h"

namespace gtrain::encode {
namespace {

using Json = nlohmann::ordered_json;
using base::Field;

// What a visitor of plain fields does with those that hold further fields: encodings have none.
class PlainVisitor : public base::FieldVisitor {
 public:
  using base::FieldVisitor::operator();
  void rest(const Field& f, std::map<std::string, double>&) override { refuse(f); }
  void object(const Field& f, const Body&) override { refuse(f); }
  void maybe(const Field& f, base::MaybeAccess&) override { refuse(f); }
  void list(const Field& f, base::ListAccess&) override { refuse(f); }
  void choice(const Field& f, base::ChoiceAccess&) override { refuse(f); }
  void operator()(const Field& f, std::optional<bool>&) override { refuse(f); }
  void operator()(const Field& f, std::optional<std::int64_t>&) override { refuse(f); }
  void operator()(const Field& f, std::optional<double>&) override { refuse(f); }

 private:
  [[noreturn]] static void refuse(const Field& f) {
    throw std::logic_error(fmt::format("option_text: {} is no plain field", f.key));
  }
};

class Writer final : public PlainVisitor {
 public:
  explicit Writer(Json& out) : out_(out) {}
  using PlainVisitor::operator();
  void operator()(const Field& f, bool& v) override { put(f, v); }
  void operator()(const Field& f, std::int64_t& v) override { put(f, v); }
  void operator()(const Field& f, double& v) override { put(f, v); }
  void operator()(const Field& f, std::string& v) override { put(f, v); }
  void operator()(const Field& f, std::vector<std::int64_t>& v) override { put(f, v); }
  void operator()(const Field& f, std::vector<double>& v) override { put(f, v); }
  void operator()(const Field& f, std::vector<std::string>& v) override { put(f, v); }
  void require(bool, std::string_view, const std::string&) override {}

 private:
  template <class T>
  void put(const Field& f, const T& value) {
    out_[std::string(f.key)] = value;
  }

  Json& out_;
};

class Reader final : public PlainVisitor {
 public:
  Reader(const Json& in, std::string_view name) : in_(in), name_(name) {}
  using PlainVisitor::operator();
  void operator()(const Field& f, bool& v) override { one(f, v); }
  void operator()(const Field& f, std::int64_t& v) override { one(f, v); }
  void operator()(const Field& f, double& v) override { one(f, v); }
  void operator()(const Field& f, std::string& v) override { one(f, v); }
  void operator()(const Field& f, std::vector<std::int64_t>& v) override { several(f, v); }
  void operator()(const Field& f, std::vector<double>& v) override { several(f, v); }
  void operator()(const Field& f, std::vector<std::string>& v) override { several(f, v); }
  void require(bool holds, std::string_view path, const std::string& message) override {
    if (!holds) refuse(path, message);
  }
  void finish() const {
    if (taken_ + 1 == in_.size()) return;  // and the name
    throw base::RecipeError(
        fmt::format("encode: {} has keys that are not its own: {}", name_, in_.dump()));
  }

 private:
  [[noreturn]] void refuse(std::string_view key, const std::string& message) const {
    throw base::RecipeError(fmt::format("encode: {}.{}: {}", name_, key, message));
  }

  const Json* find(const Field& f) {
    const auto found = in_.find(std::string(f.key));
    if (found == in_.end()) return nullptr;
    ++taken_;
    return &*found;
  }

  // get() alone would make an integer of 2.9 and of true.
  template <class T>
  T checked(const Field& f, const Json& found) const {
    constexpr bool kText = std::is_same_v<T, std::string>, kTruth = std::is_same_v<T, bool>;
    const bool fits = kText                   ? found.is_string()
                      : kTruth                ? found.is_boolean()
                      : std::is_integral_v<T> ? found.is_number_integer()
                                              : found.is_number();
    if (!fits) refuse(f.key, "has the value " + found.dump());
    const T value = found.get<T>();
    if constexpr (kText) {
      const bool known =
          f.one_of.empty() || std::find(f.one_of.begin(), f.one_of.end(), value) != f.one_of.end();
      if (!known) refuse(f.key, fmt::format("is {}; known: {}", value, fmt::join(f.one_of, ", ")));
    } else {
      const auto x = static_cast<double>(value);
      if (!(x >= f.min && x <= f.max)) {
        refuse(f.key, fmt::format("is {}; expected {} to {}", value, f.min, f.max));
      }
    }
    return value;
  }

  template <class T>
  void one(const Field& f, T& value) {
    if (const Json* found = find(f)) value = checked<T>(f, *found);
  }

  template <class T>
  void several(const Field& f, std::vector<T>& values) {
    const Json* found = find(f);
    if (found == nullptr) return;
    if (!found->is_array()) refuse(f.key, "has the value " + found->dump());
    values.clear();
    for (const Json& element : *found) values.push_back(checked<T>(f, element));
  }

  const Json& in_;
  std::string_view name_;
  std::size_t taken_ = 0;
};

}  // namespace

std::string to_json(const EncodingOptions& options) {
  Json out{{"name", std::string(name_of(options))}};
  Writer writer(out);
  EncodingOptions copy = options;
  std::visit([&](auto& o) { o.fields(writer); }, copy);
  return out.dump();
}

EncodingOptions from_json(const std::string& text) {
  const Json in = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!in.is_object() || !in.contains("name") || !in["name"].is_string()) {
    throw base::RecipeError("encode: expected a JSON object with a name; got " + text);
  }
  const auto name = in["name"].get<std::string>();
  EncodingOptions out;
  if (!base::detail::Choice(out).select(name)) {
    throw base::RecipeError(fmt::format("encode: {}: no such encoding", name));
  }
  Reader reader(in, name);
  std::visit([&](auto& o) { o.fields(reader); }, out);
  reader.finish();
  return out;
}

}  // namespace gtrain::encode
