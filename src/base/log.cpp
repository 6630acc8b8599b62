#include "gtrain/base/log.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <string>

namespace gtrain::base {
namespace {

// The one piece of process-wide state in gtrain: the terminal is process-wide too.
struct Sink {
  std::mutex mutex;
  bool quiet = false;
  bool line_drawn = false;
  std::FILE* file = nullptr;
};

Sink& sink() {
  static Sink s;
  return s;
}

void clear(Sink& s) {
  if (s.line_drawn) std::fputs("\r\x1b[K", stderr);
  s.line_drawn = false;
}

void line(std::string_view prefix, std::string_view text, bool show) {
  Sink& s = sink();
  const std::lock_guard lock(s.mutex);
  const std::string whole = std::string(prefix) + std::string(text) + "\n";
  if (show) {
    clear(s);
    std::fputs(whole.c_str(), stderr);
  }
  if (s.file != nullptr) {
    std::fputs(whole.c_str(), s.file);
    std::fflush(s.file);
  }
}

}  // namespace

void note(std::string_view text) { line("", text, !sink().quiet); }
void complain(std::string_view text) { line("", text, true); }
void warn(std::string_view text) { line("warning: ", text, true); }

void set_quiet(bool quiet) {
  const std::lock_guard lock(sink().mutex);
  sink().quiet = quiet;
}

void set_log_file(const char* path) {
  Sink& s = sink();
  const std::lock_guard lock(s.mutex);
  if (s.file != nullptr) std::fclose(s.file);
  s.file = path != nullptr ? std::fopen(path, "a") : nullptr;
}

bool terminal() { return ::isatty(STDERR_FILENO) == 1; }

void redraw(std::string_view text) {
  Sink& s = sink();
  const std::lock_guard lock(s.mutex);
  if (s.quiet || !terminal()) return;
  clear(s);
  if (text.empty()) {
    std::fflush(stderr);
    return;
  }
  std::fputs(std::string(text).c_str(), stderr);
  std::fflush(stderr);
  s.line_drawn = true;
}

}  // namespace gtrain::base
