#include "gtrain/base/resource.h"

#include <fmt/format.h>
#include <link.h>

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

// In or beside the folders above `file`, nearest first; empty where there is none. A library lies
// up to two folders below its prefix: lib/x86_64-linux-gnu.
fs::path root_near(const fs::path& file) {
  const fs::path folder = file.parent_path();
  for (const fs::path& prefix : {folder / "..", folder / ".." / ".."}) {
    const fs::path installed = (prefix / "share" / "gtrain").lexically_normal();
    if (holds_resources(installed)) return installed;
  }
  for (fs::path directory = folder; !directory.empty(); directory = directory.parent_path()) {
    if (holds_resources(directory)) return directory;
    if (directory == directory.root_path()) break;
  }
  return {};
}

// Where the kernels were loaded from; empty where they were not.
fs::path loaded_kernels() {
  fs::path found;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        const fs::path path = info->dlpi_name;
        if (path.filename() != "libgtrain_ops.so") return 0;
        *static_cast<fs::path*>(out) = path;
        return 1;
      },
      &found);
  std::error_code unreadable;
  return found.empty() ? found : fs::canonical(found, unreadable);
}

}  // namespace

fs::path find_resource_root(const fs::path& executable, const char* share,
                            const fs::path& library) {
  if (share != nullptr && *share != '\0') {
    const fs::path given = fs::absolute(share).lexically_normal();
    if (holds_resources(given)) return given;
    throw DataError(
        fmt::format("{}: named by $GTRAIN_SHARE but has no recipes/ and datasets/; expected both",
                    given.string()));
  }
  for (const fs::path& file : {executable, library}) {
    if (file.empty()) continue;
    const fs::path found = root_near(file);
    if (!found.empty()) return found;
  }
  throw DataError(fmt::format(
      "{}: no recipes/ and datasets/ in {} nor in any directory above the program{}; expected them "
      "there, or $GTRAIN_SHARE to name their directory",
      executable.string(),
      (executable.parent_path() / ".." / "share" / "gtrain").lexically_normal().string(),
      library.empty() ? "" : " or above " + library.string()));
}

fs::path resource_root() {
  return find_resource_root(fs::canonical("/proc/self/exe"), std::getenv("GTRAIN_SHARE"),
                            loaded_kernels());
}

}  // namespace gtrain::base
