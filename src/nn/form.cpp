#include "gtrain/nn/form.h"

#include <fmt/format.h>

namespace gtrain::nn {

std::string sum_script(Form form, const std::string& residual, const std::string& h) {
  return form == Form::kPortable ? fmt::format("{} + {}", residual, h)
                                 : fmt::format("gtrain.activate({}, \"none\", {})", h, residual);
}

std::string norm_script(Form form, const std::string& norm, const std::string& h,
                        const std::string& residual, const std::string& batch) {
  if (residual.empty()) return fmt::format("self.{}.forward({}, {})", norm, h, batch);
  return form == Form::kPortable
             ? fmt::format("self.{}.forward({} + {}, {})", norm, residual, h, batch)
             : fmt::format("self.{}.added({}, {}, {})", norm, h, residual, batch);
}

std::string feed_script(Form form, const std::string& first, const std::string& second,
                        Activation activation, const std::string& x) {
  if (form == Form::kPortable) {
    const std::string hidden = script_of(activation, fmt::format("self.{}.forward({})", first, x));
    return fmt::format("self.{}.forward({})", second, hidden);
  }
  return fmt::format(
      "gtrain.feed_forward({2}, self.{0}.weight, self.{0}.bias, \"{3}\", self.{1}.weight, "
      "self.{1}.bias, [], [])",
      first, second, x, name_of(activation));
}

std::string groups_script(Form form, const std::string& batch) {
  return form == Form::kPortable ? fmt::format("self.graph_groups({})", batch) : "[]";
}

}  // namespace gtrain::nn
