// A model written as a file that plain torch loads, verified before it appears under its name: the
// bytes are loaded again, in a fresh process where there is a command for one, run on samples, and
// held against the model (deploy/verify.h). The archive's extra file gtrain.json describes it
// (deploy/description.h), its end comment seals it (deploy/archive.h).
#pragma once

#include <filesystem>
#include <vector>

#include "gtrain/deploy/reload.h"
#include "gtrain/deploy/verify.h"

namespace gtrain::deploy {

// `fresh`: the command that loads the bytes; empty: this process does. Durable (base/durable.h).
// Throws base::RecipeError where the model cannot be exported so, base::ResourceError where disk or
// process fail, base::Error (kBug) where file and model differ by more than the bound; nothing is
// left behind then, and a file of that name stays as it was.
Verified export_torchscript(models::Model& model, const ExportSpec& spec,
                            const std::vector<Sample>& samples, const std::filesystem::path& path,
                            const Command& fresh = {});

}  // namespace gtrain::deploy
