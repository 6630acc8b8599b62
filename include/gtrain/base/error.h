// The one exception family of gtrain. Every failure a user can cause carries the exit code that
// the program ends with; only cli/main.cpp catches. Anything else that escapes is our bug (70).
#pragma once

#include <stdexcept>
#include <string>

namespace gtrain::base {

// Exit codes of the program, fixed by its command-line contract.
enum class ExitCode : int {
  kOk = 0,
  kRecipe = 2,    // recipe or flags
  kData = 3,      // data set, store or run directory content
  kDiverged = 4,  // NaN or Inf in loss or gradients
  kResource = 5,  // out of memory or disk
  kInUse = 6,     // run directory in use by another process
  kBug = 70,
  kInterrupted = 130,  // SIGINT, state saved
  kTerminated = 143,   // SIGTERM, state saved
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// Message form: `file:line:column: key: what (hint)`, one line per problem, all problems at once.
struct RecipeError : Error {
  explicit RecipeError(const std::string& m) : Error(ExitCode::kRecipe, m) {}
};

// Message form: `path (row R): what was found; expected …`. Rows count from 1.
struct DataError : Error {
  explicit DataError(const std::string& m) : Error(ExitCode::kData, m) {}
};

struct DivergedError : Error {
  explicit DivergedError(const std::string& m) : Error(ExitCode::kDiverged, m) {}
};

struct ResourceError : Error {
  explicit ResourceError(const std::string& m) : Error(ExitCode::kResource, m) {}
};

struct InUseError : Error {
  explicit InUseError(const std::string& m) : Error(ExitCode::kInUse, m) {}
};

}  // namespace gtrain::base
