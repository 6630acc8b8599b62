// Lines for the user: one sink for stderr, one optional file (a run's log.txt). A progress line
// that is being redrawn is cleared first. No levels beyond note and warning: errors are exceptions
// until main ends with one.
#pragma once

#include <string_view>

namespace gtrain::base {

void note(std::string_view line);      // "line"
void warn(std::string_view line);      // "warning: line"
void complain(std::string_view line);  // "line", never quiet: what the program ends with
void set_quiet(bool quiet);            // notes go to the file only
void set_log_file(const char* path);   // nullptr closes; appends

// The redrawn line of a terminal; the empty string clears it. Nothing is printed when stderr is no
// terminal.
void redraw(std::string_view line);
bool terminal();  // stderr is a terminal

}  // namespace gtrain::base
