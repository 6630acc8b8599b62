#include "gtrain/base/torch_release.h"

namespace gtrain::base {
namespace {

std::string_view release(std::string_view version) {
  const std::size_t minor = version.find('.');
  if (minor == std::string_view::npos) return version;
  return version.substr(0, version.find_first_not_of("0123456789", minor + 1));
}

}  // namespace

std::string torch_version_in(std::string_view config) {
  constexpr std::string_view kKey = "TORCH_VERSION=";
  const std::size_t at = config.find(kKey);
  if (at == std::string_view::npos) return {};
  const std::size_t first = at + kKey.size();
  return std::string(config.substr(first, config.find_first_of(", \n", first) - first));
}

bool same_torch_release(std::string_view a, std::string_view b) {
  return !a.empty() && release(a) == release(b);
}

}  // namespace gtrain::base
