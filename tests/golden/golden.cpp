#include "golden/golden.h"

#include <fmt/format.h>

#include <fstream>

namespace gtrain::golden {
namespace {

at::ScalarType type_of(const std::string& dtype) {
  if (dtype == "F64") return at::kDouble;
  if (dtype == "F32") return at::kFloat;
  if (dtype == "I64") return at::kLong;
  if (dtype == "I32") return at::kInt;
  if (dtype == "I16") return at::kShort;
  if (dtype == "U8") return at::kByte;
  if (dtype == "BOOL") return at::kBool;
  throw Skip{"tensor type " + dtype};
}

at::Tensor to_tensor(const base::RawTensor& raw) {
  const at::Tensor t = at::empty(raw.shape, type_of(raw.dtype));
  std::memcpy(t.data_ptr(), raw.bytes.data(), raw.bytes.size());
  return t;
}

base::Safetensors read_if_present(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? base::read_safetensors(path) : base::Safetensors{};
}

std::string at_index(const at::Tensor& t, std::int64_t flat) {
  std::string text;
  for (std::int64_t d = t.dim(); d-- > 0; flat /= t.size(d)) {
    text = fmt::format("{}{}", flat % t.size(d), text.empty() ? "" : "," + text);
  }
  return text.empty() ? "" : "[" + text + "]";
}

}  // namespace

Case::Case(const std::filesystem::path& directory)
    : directory_(directory), name_(directory.filename().string()) {
  std::ifstream in(directory / "case.json");
  info_ = nlohmann::json::parse(in);
  name_ = info_.value("case", name_);  // a folder may be called otherwise
  single_ = read_if_present(directory / "tensors.safetensors");
  double_ = read_if_present(directory / "tensors64.safetensors");
}

bool Case::has(const std::string& key) const { return single_.tensors.contains(key); }

at::Tensor Case::input(const std::string& key, at::ScalarType type) const {
  const auto it = single_.tensors.find(key);
  if (it == single_.tensors.end()) throw Skip{"no tensor " + key};
  const at::Tensor t = to_tensor(it->second);
  return t.is_floating_point() ? t.to(type) : t;
}

bool Case::expects(const std::string& key, at::ScalarType type) const {
  return (type == at::kDouble ? double_ : single_).tensors.contains(key);
}

at::Tensor Case::expected(const std::string& key, at::ScalarType type) const {
  const auto& tensors = (type == at::kDouble ? double_ : single_).tensors;
  const auto it = tensors.find(key);
  if (it == tensors.end()) throw Skip{"no tensor " + key};
  const at::Tensor t = to_tensor(it->second);
  return t.is_floating_point() ? t.to(at::kDouble) : t;
}

std::vector<std::string> Case::keys(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const auto& [key, tensor] : single_.tensors) {
    if (key.starts_with(prefix)) out.push_back(key.substr(prefix.size()));
  }
  return out;
}

std::vector<std::string> Case::origin(const std::string& key) const {
  const auto it = origin_.find(key);
  return it == origin_.end() ? std::vector<std::string>{key} : it->second;
}

void Case::rename(const std::function<std::string(const std::string&)>& name_of) {
  std::map<std::string, std::vector<std::string>> origins;
  for (const auto& [name, tensor] : single_.tensors) origins[name_of(name)] = origin(name);
  origin_ = std::move(origins);
  for (base::Safetensors* file : {&single_, &double_}) {
    std::map<std::string, base::RawTensor> renamed;
    for (auto& [name, tensor] : file->tensors) renamed[name_of(name)] = std::move(tensor);
    file->tensors = std::move(renamed);
  }
}

void Case::join(const std::string& name, const std::vector<std::string>& parts,
                const std::vector<std::int64_t>& shape) {
  std::vector<std::string> origins;
  for (const std::string& part : parts) {
    for (const std::string& one : origin(part)) origins.push_back(one);
  }
  if (has(parts.front())) origin_[name] = std::move(origins);
  for (base::Safetensors* file : {&single_, &double_}) {
    base::RawTensor whole;
    for (const std::string& part : parts) {
      const auto it = file->tensors.find(part);
      if (it == file->tensors.end()) {
        whole.bytes.clear();
        break;
      }
      whole.dtype = it->second.dtype;
      whole.bytes += it->second.bytes;
    }
    if (whole.bytes.empty()) continue;
    whole.shape = shape;
    for (const std::string& part : parts) file->tensors.erase(part);
    file->tensors[name] = std::move(whole);
  }
}

Tolerance tolerance(const Case& c, const std::string& group, at::ScalarType type) {
  if (type == at::kDouble) return {};
  const auto& all = c.info().at("tolerance").at("fp32");
  if (!all.contains(group)) return {1e-5, 1e-4};
  return {all.at(group).at("atol").get<double>(), all.at(group).at("rtol").get<double>()};
}

void Checker::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

void Checker::close(const std::string& what, const at::Tensor& got_in, const at::Tensor& want_in,
                    const Tolerance& tolerance) {
  const at::Tensor got = got_in.detach().to(at::kDouble).contiguous();
  const at::Tensor want = want_in.detach().to(at::kDouble).contiguous();
  if (got.numel() != want.numel()) {
    return fail(fmt::format("tensor={} got {} elements want {}", what, got.numel(), want.numel()));
  }
  const double* g = got.const_data_ptr<double>();
  const double* w = want.const_data_ptr<double>();
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    if (std::isnan(g[i]) && std::isnan(w[i])) continue;
    const double ratio = std::abs(g[i] - w[i]) / (tolerance.atol + tolerance.rtol * std::abs(w[i]));
    if (!(ratio <= 1)) {
      return fail(
          fmt::format("tensor={}{} got {:.12g} want {:.12g}", what, at_index(want, i), g[i], w[i]));
    }
    if (ratio > worst_) {
      worst_ = ratio;
      worst_name_ = what;
    }
  }
}

void Checker::close(const std::string& what, double got, double want, const Tolerance& tolerance) {
  close(what, at::scalar_tensor(got, at::kDouble), at::scalar_tensor(want, at::kDouble), tolerance);
}

}  // namespace gtrain::golden
