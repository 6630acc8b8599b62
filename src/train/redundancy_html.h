// redundancy.json (redundancy.h) as a part of a run's page: a cell a head, a row a branch, a bar a
// matrix, and the types and degrees that leave most.
#pragma once

#include <string>

#include "result.h"

namespace gtrain::train {

// Empty where nothing was made sparser.
std::string redundancy_html(const Json& redundancy);
extern const char* const kRedundancyStyle;  // CSS of the page

}  // namespace gtrain::train
