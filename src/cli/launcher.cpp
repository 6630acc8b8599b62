// bin/gtrain: finds libtorch, then runs the program, which is libgtrain_program.so beside it.
// Linked to neither, so that a libtorch that is missing or of another version ends in a sentence
// and exit code 2 and not in a line of the dynamic linker.
//
// libtorch is that of $GTRAIN_LIBTORCH (its folder, or the lib/ in it) if set, else the first in
// $LD_LIBRARY_PATH, beside libgtrain_program.so, and where it was when gtrain was built.
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "gtrain/base/torch_release.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libtorch_cpu.so";
constexpr const char* kProgram = "libgtrain_program.so";
constexpr int kExitCode = 2;

// Of what went wrong; `what` has its place.
struct Failure {
  std::string what;
};

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string way_out() {
  return std::string("gtrain was built with libtorch ") + GTRAIN_TORCH_VERSION + " from " +
         GTRAIN_TORCH_FOLDER +
         "\nand needs one of the same version. GTRAIN_LIBTORCH names its folder; of Python's torch:"
         "\n  export GTRAIN_LIBTORCH=$(python3 -c 'import torch; print(torch.__path__[0])')";
}

// What to open: a path where GTRAIN_LIBTORCH says one, else the bare name, for the linker's search.
std::string library_to_open() {
  const fs::path folder = environment("GTRAIN_LIBTORCH");
  if (folder.empty()) return kLibrary;
  for (const fs::path& place : {folder / "lib", folder}) {
    std::error_code ignored;
    if (fs::exists(place / kLibrary, ignored)) return (place / kLibrary).string();
  }
  throw Failure{"GTRAIN_LIBTORCH=" + folder.string() + ": no " + kLibrary +
                " in it nor in its lib/; expected the folder of libtorch.\n" + way_out()};
}

// "2.13.0" as the library says of itself; nothing where it does not say so in this way.
std::optional<std::string> version_of(void* library) {
  void* symbol = ::dlsym(library, "_ZN2at11show_configB5cxx11Ev");
  if (symbol == nullptr) return std::nullopt;
  const std::string version =
      gtrain::base::torch_version_in(reinterpret_cast<std::string (*)()>(symbol)());
  return version.empty() ? std::nullopt : std::optional(version);
}

std::string path_of(void* library) {
  link_map* map = nullptr;
  return ::dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : kLibrary;
}

void open_libtorch() {
  void* library = ::dlopen(library_to_open().c_str(), RTLD_LAZY | RTLD_GLOBAL);
  if (library == nullptr) throw Failure{std::string(::dlerror()) + "\n" + way_out()};
  const std::optional<std::string> version = version_of(library);
  if (version && gtrain::base::same_torch_release(*version, GTRAIN_TORCH_VERSION)) return;
  throw Failure{path_of(library) + ": is libtorch " + version.value_or("of another kind") + ".\n" +
                way_out()};
}

int run(int argc, char** argv) {
  open_libtorch();
  // Now: what is missing shall be missing here and not in the middle of a run.
  void* program = ::dlopen(kProgram, RTLD_NOW | RTLD_GLOBAL);
  if (program == nullptr) {
    throw Failure{std::string(::dlerror()) + "\nis needed by " + kProgram +
                  "; docs/install.md lists the packages that bring what gtrain needs"};
  }
  void* entry = ::dlsym(program, "gtrain_main");
  if (entry == nullptr) throw Failure{path_of(program) + ": is not the program of gtrain"};
  return reinterpret_cast<int (*)(int, char**)>(entry)(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    std::fprintf(stderr, "gtrain: %s\n", failure.what.c_str());
    if (argc > 1 && std::string_view(argv[1]) == "doctor") {
      std::printf("gtrain          cannot start\nGTRAIN_LIBTORCH %s\nLD_LIBRARY_PATH %s\n",
                  environment("GTRAIN_LIBTORCH"), environment("LD_LIBRARY_PATH"));
    }
    return kExitCode;
  }
}
