#include "gtrain/models/options.h"

#include "gtrain/models/gps.h"

namespace gtrain::models {

ModelOptions::ModelOptions() : ModelOptions(GpsOptions()) {}

}  // namespace gtrain::models
