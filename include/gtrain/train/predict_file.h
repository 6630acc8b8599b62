// `gtrain predict F.pt`: an exported file at work on a data set, with the rows that `predict` of
// its run would write. The file's own recipe says how data are opened; encodings are computed here
// only where the module takes them as inputs. Its model may be one that no zoo here has.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gtrain::train {

struct PredictFileOptions {
  std::string data;                    // path or name; empty: the recipe's own
  std::vector<std::string> overrides;  // KEY=VALUE on the recipe, such as dataset.task=…
  std::string split = "test";
};

// Warns that TorchScript is code. Throws base::DataError for a file that is damaged or foreign and
// for data that do not fit it.
void predict_file(const std::filesystem::path& file, const PredictFileOptions& options,
                  const std::filesystem::path& out);

}  // namespace gtrain::train
