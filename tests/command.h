// A command line run by the shell: what it printed and its exit code.
#pragma once
#include <sys/wait.h>

#include <cstdio>
#include <memory>
#include <string>

namespace sagitta::testing {

struct Run {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

inline Run run_command(const std::string& command) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen((command + " 2>&1").c_str(), "r"), pclose);
  Run result;
  char buffer[4096];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe.get()))
    result.output.append(buffer, count);
  result.exit_code = WEXITSTATUS(pclose(pipe.release()));
  return result;
}

}  // namespace sagitta::testing
