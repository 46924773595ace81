// RunDirectory: what a training run leaves on disk, so that it can be killed at any moment and go on.
//   recipe.toml  split.json  metrics.jsonl  checkpoints/step-<n>/  last -> checkpoints/step-<n>  best -> ...
// Invariant: a directory under checkpoints/step-* is complete (it is renamed into place when it is), and the
// links `last` and `best` always name a complete one: they are replaced atomically.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sagitta::apps {

class RunDirectory {
 public:
  // A new run. Throws Error if the directory already holds one, or cannot be written.
  static RunDirectory create(const std::filesystem::path& path);
  // A run to go on with. Throws Error if it is none.
  static RunDirectory open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path last() const { return path_ / "last"; }
  std::filesystem::path best() const { return path_ / "best"; }
  // A folder of this name in the run, made when it is not there.
  std::filesystem::path folder(const std::string& name) const;
  // False for a run that was stopped before its first one: it starts from the beginning again.
  bool has_checkpoint() const { return std::filesystem::exists(last()); }

  // How many of the newest checkpoints are kept besides the best one; 1 until it is called.
  void keep_checkpoints(std::int64_t count) { kept_ = count; }

  // Adds one line to metrics.jsonl.
  void log(const nlohmann::ordered_json& entry);
  // Size of metrics.jsonl; a resumed run cuts it back to what its checkpoint knew.
  std::int64_t log_bytes() const;
  void truncate_log(std::int64_t bytes);

  // Makes checkpoints/step-<step> (or step-<step>b where there is one) with what `fill` writes into it, then
  // points `last` (and `best`) there and removes the checkpoints that are neither linked nor among those to
  // keep. When that fails (a full disk), nothing of it stays, and the links name what they named before.
  void write_checkpoint(std::int64_t step, bool is_best,
                        const std::function<void(const std::filesystem::path&)>& fill);

 private:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  void point(const std::string& link, const std::string& checkpoint);
  std::filesystem::path target(const char* link) const;  // the checkpoint's name; empty without the link
  void prune(std::int64_t kept_count);
  void require_present() const;

  std::filesystem::path path_;
  std::int64_t kept_ = 1;
};

}  // namespace sagitta::apps
