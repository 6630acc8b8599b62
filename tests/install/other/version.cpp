#include <string>

namespace at {

__attribute__((visibility("default"))) std::string show_config() {
  return "Build settings: TORCH_VERSION=1.2.3, USE_CUDA=0";
}

}  // namespace at
