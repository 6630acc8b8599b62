#include "gtrain/encode/cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/data/store.h"

namespace gtrain::encode {
namespace {

// Writes every field as `key=value;`, in the order in which the struct states them.
class KeyText final : public base::FieldVisitor {
 public:
  std::string text;

  using base::FieldVisitor::operator();
  void operator()(const base::Field& f, bool& v) override { add(f, v); }
  void operator()(const base::Field& f, std::int64_t& v) override { add(f, v); }
  void operator()(const base::Field& f, double& v) override { add(f, v); }
  void operator()(const base::Field& f, std::string& v) override { add(f, v); }
  void operator()(const base::Field& f, std::optional<bool>& v) override { add_maybe(f, v); }
  void operator()(const base::Field& f, std::optional<std::int64_t>& v) override {
    add_maybe(f, v);
  }
  void operator()(const base::Field& f, std::optional<double>& v) override { add_maybe(f, v); }
  void operator()(const base::Field& f, std::vector<std::int64_t>& v) override { add(f, v); }
  void operator()(const base::Field& f, std::vector<double>& v) override { add(f, v); }
  void operator()(const base::Field& f, std::vector<std::string>& v) override { add(f, v); }
  void rest(const base::Field& f, std::map<std::string, double>& v) override { add(f, v); }
  void object(const base::Field& f, const Body& fields) override {
    text += fmt::format("{}={{", f.key);
    fields(*this);
    text += "};";
  }
  void maybe(const base::Field& f, base::MaybeAccess& v) override {
    text += fmt::format("{}={{", f.key);
    if (v.present()) v.fields(*this);
    text += "};";
  }
  void list(const base::Field& f, base::ListAccess& v) override {
    text += fmt::format("{}=[", f.key);
    for (std::size_t i = 0; i < v.size(); ++i) v.element(i, f, *this);
    text += "];";
  }
  void choice(const base::Field& f, base::ChoiceAccess& v) override {
    text += fmt::format("{}={}{{", f.key, v.selected());
    v.fields(*this);
    text += "};";
  }
  void require(bool, std::string_view, const std::string&) override {}

 private:
  template <class T>
  void add(const base::Field& f, const T& v) {
    text += fmt::format("{}={};", f.key, v);
  }
  template <class T>
  void add_maybe(const base::Field& f, const std::optional<T>& v) {
    text += v ? fmt::format("{}={};", f.key, *v) : fmt::format("{}=;", f.key);
  }
};

// Empty where there is no file or a damaged one: the cache is ours, so it is made again.
std::vector<data::Column> from_cache(const std::filesystem::path& path, const std::string& key,
                                     const std::string& of) {
  try {
    return data::read_columns(path, key, of);
  } catch (const base::DataError& e) {
    base::warn(fmt::format("cache: {}; computing it again", e.what()));
    return {};
  }
}

// A cache that cannot be written costs time, not the result.
void keep(const std::filesystem::path& path, const std::vector<data::Column>& columns,
          const std::string& key, const std::string& of) {
  try {
    data::write_columns(path, columns, key, of);
  } catch (const base::ResourceError& e) {
    base::warn(fmt::format("cache: {}; it will be computed again next time", e.what()));
  }
}

}  // namespace

std::string cache_key(const EncodingOptions& options) {
  KeyText visitor;
  EncodingOptions copy = options;  // fields() takes its values by reference
  std::visit([&](auto& o) { o.fields(visitor); }, copy);
  return fmt::format("{};version={};{}", name_of(options), kEncodingVersion, visitor.text);
}

std::filesystem::path cache_path(const std::filesystem::path& store,
                                 const EncodingOptions& options) {
  return store.parent_path() / fmt::format("{}.{}-{}.h5", store.stem().string(), name_of(options),
                                           base::hash_hex(cache_key(options)).substr(0, 16));
}

std::vector<data::Column> load_or_compute(const data::Dataset& dataset,
                                          const std::filesystem::path& store,
                                          const EncodingOptions& options) {
  if (store.empty()) return compute(dataset, options);  // made in memory, there is no beside
  const std::string key = cache_key(options);
  const std::filesystem::path path = cache_path(store, options);
  std::vector<data::Column> columns = from_cache(path, key, dataset.info.hash);
  if (!columns.empty()) return columns;
  columns = compute(dataset, options);
  keep(path, columns, key, dataset.info.hash);
  return columns;
}

}  // namespace gtrain::encode
