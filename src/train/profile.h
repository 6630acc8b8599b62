// Looking before leaping: time per phase and per operator of a few steps, the memory of one, and
// the text of `gtrain plan`, `--dry-run` and `--profile`. Nothing is kept.
#pragma once

#include <cstdint>
#include <string>

#include "epoch.h"
#include "material.h"

namespace gtrain::train {

// `stands_for`: graphs of the data set that generated data stand for; 0: these are the data.
std::string plan_text(const Recipe& recipe, const Material& material, models::Model& model,
                      std::int64_t stands_for);
std::string profile_text(const Recipe& recipe, const Material& material, models::Model& model,
                         std::int64_t steps);
// Two steps and one batch of evaluation.
std::string dry_run_text(const Recipe& recipe, const Material& material, models::Model& model);

}  // namespace gtrain::train
