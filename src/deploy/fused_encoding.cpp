#include "gtrain/deploy/fused_encoding.h"

#include <fmt/format.h>

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
  std::string calls, list;
  for (const auto& computation : computations_of(options, columns)) {
    calls += fmt::format("    {} = gtrain.encoding(edge_index, batch, '{}')\n",
                         encode::name_of(computation), encode::to_json(computation));
  }
  for (const std::string& column : columns) {
    list += (list.empty() ? "" : ", ") + column_script(column);
  }
  return "\ndef encodings(self, edge_index: Tensor, batch: Tensor, like: Tensor) -> "
         "List[Tensor]:\n" +
         calls + "    out: List[Tensor] = [" + list + "]\n    return out\n";
}

}  // namespace gtrain::deploy
