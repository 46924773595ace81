// PlanCache: choices that cost time to make - which algorithm is the fastest - kept in a file between runs.
// A convenience and nothing more: a file that is missing, damaged, unwritable or from elsewhere costs making
// the choices again, never an error. Several processes may use one file; each adds what it found.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace sagitta::cuda {

// $XDG_CACHE_HOME/sagitta or ~/.cache/sagitta, as the XDG base directory specification has it; empty when
// neither variable is set.
std::filesystem::path user_cache_directory();

class PlanCache {
 public:
  // `identity` names all that the choices depend on besides their keys ("NVIDIA H100 80GB HBM3, cuDNN
  // 91900"); each identity has a file of its own. An empty directory: nothing is kept.
  PlanCache(const std::filesystem::path& directory, std::string_view identity);

  // The choice made for a key; null when there is none.
  const std::string* find(const std::string& key) const;
  // Remembers a choice, here and in the file. Neither string may hold a tab or a line end.
  void store(const std::string& key, const std::string& choice);

  const std::filesystem::path& file() const { return file_; }  // empty: nothing is kept

 private:
  void read();
  void write() const;

  std::filesystem::path file_;
  std::string header_;  // the first line
  std::map<std::string, std::string> choices_;
};

}  // namespace sagitta::cuda
