// Where the files that come with gtrain lie: the directory that holds recipes/ and datasets/.
// Found at run time, so that a build tree, an installed prefix and a moved prefix work alike. Says
// nothing about the user's own data or caches (data/open.h) and reads no file.
#pragma once

#include <filesystem>

namespace gtrain::base {

// The first of these that has both recipes/ and datasets/: $GTRAIN_SHARE (when set it must have
// them), share/gtrain beside the bin/ of the running program, the nearest ancestor directory of the
// program (the source tree of a build); then the same of libgtrain_ops.so, which programs of others
// have loaded from the prefix or the build that they use. Absolute. Throws DataError naming every
// place looked at.
std::filesystem::path resource_root();

// The same search for a program at `executable`, with $GTRAIN_SHARE as `share` (nullptr: unset) and
// the kernels at `library` (empty: not loaded).
std::filesystem::path find_resource_root(const std::filesystem::path& executable, const char* share,
                                         const std::filesystem::path& library = {});

}  // namespace gtrain::base
