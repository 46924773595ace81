#include "bench/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "tensor/error.h"

extern char** environ;

namespace sagitta::bench {
namespace {

// Our environment with some variables replaced or added.
std::vector<std::string> merged(const Environment& changes) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : changes) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const Environment& environment)
    : name_(command.at(0)) {
  // A program that dies is reported by write_line(), not by a signal that ends this program.
  std::signal(SIGPIPE, SIG_IGN);
  int in[2], out[2];  // close-on-exec, so that no other child holds the ends open
  require(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "{}: no pipe: {}", name_,
          std::strerror(errno));
  input_.reset(fdopen(in[1], "w"));
  output_.reset(fdopen(out[0], "r"));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<std::string> arguments = command, variables = merged(environment);
  const int error = posix_spawnp(&id_, name_.c_str(), &actions, nullptr, pointers(arguments).data(),
                                 pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (error != 0) id_ = -1;
  require(error == 0, "{}: cannot be run: {}", name_, std::strerror(error));
}

Process::~Process() { wait(); }

bool Process::write_line(std::string_view line) {
  const std::string text = std::string(line) + "\n";
  return input_ && std::fwrite(text.data(), 1, text.size(), input_.get()) == text.size() &&
         std::fflush(input_.get()) == 0;
}

std::optional<std::string> Process::read_line() {
  char* line = nullptr;
  std::size_t capacity = 0;
  const ssize_t length = getline(&line, &capacity, output_.get());
  const std::unique_ptr<char, decltype(&std::free)> owner(line, std::free);
  if (length < 0) return std::nullopt;
  std::string text(line, static_cast<std::size_t>(length));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

int Process::wait() {
  input_.reset();
  if (id_ < 0) return 0;
  int status = 0;
  while (waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Ending run_to_end(const std::vector<std::string>& command, const Environment& environment) {
  Process process(command, environment);
  Ending ending;
  while (const std::optional<std::string> line = process.read_line()) ending.last_line = *line;
  ending.code = process.wait();
  return ending;
}

}  // namespace sagitta::bench
