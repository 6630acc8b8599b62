#include "gtrain/cli/entry.h"

#include <CLI/Error.hpp>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/cli/interrupt.h"
#include "gtrain/cli/memory_limit.h"
#include "gtrain/cli/program.h"

namespace gtrain::cli {
namespace {

using base::ExitCode;

int fail(ExitCode code, const std::string& message) {
  base::complain(message);
  return static_cast<int>(code);
}

int fail_out_of_memory() {
  return fail(
      ExitCode::kResource,
      "out of memory; a smaller dataset.batch_size or model.width needs less (gtrain plan)");
}

int fail_unforeseen(const std::exception& e) {
  const std::string_view what = e.what();
  // torch's allocator has no exception type of its own.
  if (what.find("can't allocate memory") != std::string_view::npos) return fail_out_of_memory();
  // torch appends a list of addresses, which says nothing outside a debugger.
  const std::string_view said = what.substr(0, what.find(" (most recent call first)"));
  return fail(ExitCode::kBug, "this is a bug in gtrain: " + std::string(said) +
                                  "\nplease report it with the output of gtrain doctor");
}

int fail_file_system(const std::filesystem::filesystem_error& e) {
  const bool full = e.code() == std::errc::no_space_on_device || e.code().value() == EDQUOT;
  std::string message = e.path1().string();
  message += (message.empty() ? "" : ": ") + e.code().message();
  return fail(full ? ExitCode::kResource : ExitCode::kData, message);
}

// Empty where the system does not say.
std::string own_file() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

}  // namespace

int run_main(int argc, char** argv, const models::Zoo& zoo) {
  try {
    fail_by_error_codes();
    limit_memory(memory_of_machine());
    return run_program({argv + 1, argv + argc}, GTRAIN_VERSION, zoo, own_file());
  } catch (const base::Error& e) {
    return fail(e.code(), e.what());
  } catch (const CLI::ParseError& e) {
    return fail(ExitCode::kRecipe, "command line: " + std::string(e.what()) +
                                       " (gtrain help COMMAND lists the options)");
  } catch (const std::bad_alloc&) {
    return fail_out_of_memory();
  } catch (const std::filesystem::filesystem_error& e) {
    return fail_file_system(e);
  } catch (const std::system_error& e) {
    const bool short_of = e.code() == std::errc::resource_unavailable_try_again;  // threads
    return short_of ? fail(ExitCode::kResource, std::string("no further thread: ") + e.what())
                    : fail_unforeseen(e);
  } catch (const std::exception& e) {
    return fail_unforeseen(e);
  }
}

}  // namespace gtrain::cli
