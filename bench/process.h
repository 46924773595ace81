// Process: another program whose standard input and output this one holds, as benchmarks run their workers
// and peers. Its stderr is ours. Errors name the program.
#pragma once
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sagitta::bench {

using Environment = std::map<std::string, std::string>;

class Process {
 public:
  // Starts command[0], looked up along PATH, with the other elements as its arguments; `environment` is added
  // to our own. Throws Error when it cannot be started.
  explicit Process(const std::vector<std::string>& command, const Environment& environment = {});
  // Closes its input and waits for its end.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // False when the program has closed its input or ended.
  bool write_line(std::string_view line);
  // The next line of its output without the line feed; nothing at the end.
  std::optional<std::string> read_line();
  // Closes its input and waits; the exit code, or 128 + the signal that ended it.
  int wait();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string name_;
  int id_ = -1;  // -1: has been waited for
  std::unique_ptr<std::FILE, Close> input_, output_;
};

// A program's last line of output and its exit code, as wait() gives it.
struct Ending {
  std::string last_line;
  int code;
};
Ending run_to_end(const std::vector<std::string>& command, const Environment& environment = {});

}  // namespace sagitta::bench
