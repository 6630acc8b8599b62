// Which libtorch a process has, from the text that libtorch gives of itself (at::show_config()).
// Needs neither torch nor the rest of gtrain, so that the launcher can ask before either is there.
#pragma once

#include <string>
#include <string_view>

namespace gtrain::base {

// "2.13.0" of "…, TORCH_VERSION=2.13.0, …"; "" where the text does not say.
std::string torch_version_in(std::string_view config);

// Whether two versions agree but for what follows their second number: such releases ("2.13.0",
// "2.13.1+cpu") keep the binary interface.
bool same_torch_release(std::string_view a, std::string_view b);

}  // namespace gtrain::base
