// A check of flags that take a file or a folder: `--out "$F"` with F unset must not mean another
// place.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace gtrain::cli {

inline CLI::Validator not_empty() {
  const auto filled = [](const std::string& text) {
    return std::string(text.empty() ? "is empty; expected a value" : "");
  };
  return {filled, ""};
}

}  // namespace gtrain::cli
