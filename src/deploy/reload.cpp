#include "gtrain/deploy/reload.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

constexpr char kAnswer = 'a', kFailure = 'f';
constexpr std::size_t kSizeBytes = sizeof(std::uint64_t);

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_;
};

// False where the other side went away: its status says why.
bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string receive_all(int socket) {
  std::string out;
  std::string block(std::size_t{1} << 20, '\0');
  while (true) {
    const ssize_t n = ::recv(socket, block.data(), block.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return out;
    out.append(block.data(), static_cast<std::size_t>(n));
  }
}

std::string pickled(const Calls& calls) {
  std::vector<at::Tensor> tensors;
  std::vector<std::int64_t> counts;
  for (const auto& arguments : calls) {
    tensors.insert(tensors.end(), arguments.begin(), arguments.end());
    counts.push_back(static_cast<std::int64_t>(arguments.size()));
  }
  const std::vector<char> bytes =
      torch::jit::pickle_save(c10::ivalue::Tuple::create({tensors, counts}));
  return {bytes.begin(), bytes.end()};
}

Calls unpickled(std::string_view bytes) {
  const c10::IValue value = torch::jit::pickle_load({bytes.begin(), bytes.end()});
  const auto& parts = value.toTupleRef().elements();
  const std::vector<at::Tensor> tensors = parts[0].toTensorVector();
  Calls out;
  auto next = tensors.begin();
  for (const std::int64_t count : parts[1].toIntVector()) {
    out.emplace_back(next, next + count);
    next += count;
  }
  return out;
}

pid_t start(const Command& command, int socket) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw base::ResourceError(fmt::format("{}: cannot be started to load the file again: {}",
                                          command[0], std::strerror(error)));
  }
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

void check_ended(const Command& command, int status, bool answered) {
  if (WIFSIGNALED(status)) {
    const std::string message = fmt::format(
        "{}: the process that loaded the exported file again was ended by signal {} ({})",
        command[0], WTERMSIG(status), ::strsignal(WTERMSIG(status)));
    if (WTERMSIG(status) == SIGKILL) throw base::ResourceError(message);
    throw std::runtime_error(message);
  }
  if (!answered) {
    throw std::runtime_error(fmt::format(
        "{}: the process that loaded the exported file again ended with {} and no outputs",
        command[0], WEXITSTATUS(status)));
  }
}

}  // namespace

std::vector<at::Tensor> run_here(std::string_view bytes, const Calls& calls) {
  const at::NoGradGuard guard;
  std::istringstream stream{std::string(bytes)};
  torch::jit::Module module = torch::jit::load(stream, at::kCPU);
  std::vector<at::Tensor> out;
  for (const auto& arguments : calls) {
    out.push_back(module.forward({arguments.begin(), arguments.end()}).toTensor());
  }
  return out;
}

std::vector<at::Tensor> run_elsewhere(const Command& command, std::string_view bytes,
                                      const Calls& calls) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw base::ResourceError(
        fmt::format("a socket to load the exported file again: {}", std::strerror(errno)));
  }
  Descriptor own(ends[0]), others(ends[1]);
  const pid_t child = start(command, others.number());
  others.close();
  const std::uint64_t size = bytes.size();
  std::string head(kSizeBytes, '\0');
  std::memcpy(head.data(), &size, kSizeBytes);
  if (send_all(own.number(), head) && send_all(own.number(), bytes)) {
    send_all(own.number(), pickled(calls));
  }
  ::shutdown(own.number(), SHUT_WR);
  const std::string answer = receive_all(own.number());
  check_ended(command, wait_for(child), !answer.empty());
  if (answer[0] != kAnswer) throw std::runtime_error(answer.substr(1));
  return unpickled(std::string_view(answer).substr(1)).at(0);
}

void serve_reload(int descriptor) {
  std::string answer;
  try {
    const std::string request = receive_all(descriptor);
    std::uint64_t size = 0;
    if (request.size() >= kSizeBytes) std::memcpy(&size, request.data(), kSizeBytes);
    if (size == 0 || size > request.size() - kSizeBytes) {
      throw std::runtime_error("the request ends early");
    }
    const std::string_view rest = std::string_view(request).substr(kSizeBytes);
    const Calls calls = unpickled(rest.substr(size));
    answer = kAnswer + pickled({run_here(rest.substr(0, size), calls)});
  } catch (const std::exception& e) {
    answer = kFailure + std::string(e.what());
  }
  send_all(descriptor, answer);
}

}  // namespace gtrain::deploy
