#include "gtrain/base/resource.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <system_error>

#include "gtrain/base/error.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

bool holds_resources(const fs::path& directory) {
  std::error_code error;
  return fs::is_directory(directory / "recipes", error) &&
         fs::is_directory(directory / "datasets", error);
}

}  // namespace

fs::path find_resource_root(const fs::path& executable, const char* share) {
  if (share != nullptr && *share != '\0') {
    const fs::path given = fs::absolute(share).lexically_normal();
    if (holds_resources(given)) return given;
    throw DataError(
        fmt::format("{}: named by $GTRAIN_SHARE but has no recipes/ and datasets/; expected both",
                    given.string()));
  }
  const fs::path bin = executable.parent_path();
  const fs::path installed = (bin / ".." / "share" / "gtrain").lexically_normal();
  if (holds_resources(installed)) return installed;
  for (fs::path directory = bin; !directory.empty(); directory = directory.parent_path()) {
    if (holds_resources(directory)) return directory;
    if (directory == directory.root_path()) break;
  }
  throw DataError(fmt::format(
      "{}: no recipes/ and datasets/ in {} nor in any directory above the program; expected them "
      "there, or $GTRAIN_SHARE to name their directory",
      executable.string(), installed.string()));
}

fs::path resource_root() {
  return find_resource_root(fs::canonical("/proc/self/exe"), std::getenv("GTRAIN_SHARE"));
}

}  // namespace gtrain::base
