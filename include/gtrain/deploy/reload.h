// The bytes of an exported file, loaded and run: in this process, or in a fresh one that has never
// seen the model, which is what those will do who get the file.
//
// The fresh process is a command whose standard input and output are one socket. It reads the
// file's bytes and the calls up to the end, answers with the outputs, and ends. Nothing is written
// to disk.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

namespace gtrain::deploy {

// Arguments of each call of forward.
using Calls = std::vector<std::vector<at::Tensor>>;

// A command that ends in serve_reload: the program and its arguments. Empty: none.
using Command = std::vector<std::string>;

// One output a call. Throws what torch throws where the bytes cannot be loaded or a call fails.
std::vector<at::Tensor> run_here(std::string_view bytes, const Calls& calls);

// The same in the process that `command` starts. Throws std::runtime_error with that process's
// message where it failed, base::ResourceError where it cannot be started or was killed.
std::vector<at::Tensor> run_elsewhere(const Command& command, std::string_view bytes,
                                      const Calls& calls);

// The fresh process's side: answers over `descriptor`, a socket, until the other side is done.
void serve_reload(int descriptor);

}  // namespace gtrain::deploy
