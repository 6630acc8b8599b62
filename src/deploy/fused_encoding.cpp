#include "gtrain/deploy/fused_encoding.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/encode/option_text.h"

namespace gtrain::deploy {
namespace {

// `name[1]` for the second column of the encoding `name`, as encode::compute orders them.
std::string column_script(const std::string& column) {
  const bool second = column.ends_with(".vectors");
  return fmt::format("{}[{}].to({})", encoding_of_column(column), second ? 1 : 0,
                     is_index(column) ? "4" : "like.dtype");
}

}  // namespace

std::string fused_encoding_script(const std::vector<encode::EncodingOptions>& options,
                                  const std::vector<std::string>& columns) {
  std::vector<std::string> done;
  std::string calls, list;
  for (const std::string& column : columns) {
    const std::string name = encoding_of_column(column);
    list += (list.empty() ? "" : ", ") + column_script(column);
    if (std::find(done.begin(), done.end(), name) != done.end()) continue;
    const auto found = std::find_if(options.begin(), options.end(),
                                    [&](const auto& o) { return encode::name_of(o) == name; });
    if (found == options.end()) {
      throw base::RecipeError(
          fmt::format("encode: {} is not computed, but the model reads it", name));
    }
    calls += fmt::format("    {} = gtrain.encoding(edge_index, batch, '{}')\n", name,
                         encode::to_json(*found));
    done.push_back(name);
  }
  return "\ndef encodings(self, edge_index: Tensor, batch: Tensor, like: Tensor) -> "
         "List[Tensor]:\n" +
         calls + "    out: List[Tensor] = [" + list + "]\n    return out\n";
}

}  // namespace gtrain::deploy
