#include "apps/engine/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoints = "checkpoints";

// Turns the system's error into one line about the run.
template <class Action>
void attempt(const fs::path& path, const char* what, Action&& action) {
  std::error_code error;
  action(error);
  require(!error, "{}: cannot {}: {}", path.string(), what, error.message());
}

}  // namespace

RunDirectory RunDirectory::create(const fs::path& path) {
  require(!fs::exists(path / "recipe.toml"),
          "--out {}: holds another run; choose a new directory, or --resume {}", path.string(),
          path.string());
  attempt(path, "create the directory",
          [&](std::error_code& e) { fs::create_directories(path / kCheckpoints, e); });
  return RunDirectory(path);
}

RunDirectory RunDirectory::open(const fs::path& path) {
  require(fs::exists(path / "recipe.toml"), "--resume {}: is not a run (it has no recipe.toml)",
          path.string());
  RunDirectory run(path);
  // A kill between the two links of one checkpoint leaves `best` ahead of `last`; both name complete ones.
  const fs::path last = run.target("last"), best = run.target("best");
  if (last < best) run.point("last", best.string());
  run.prune(std::numeric_limits<std::int64_t>::max());  // only what a kill left incomplete
  // What a run logged before its first checkpoint will be done, and logged, again.
  if (!run.has_checkpoint()) run.truncate_log(0);
  return run;
}

fs::path RunDirectory::folder(const std::string& name) const {
  require_present();
  attempt(path_ / name, "create the directory",
          [&](std::error_code& e) { fs::create_directory(path_ / name, e); });
  return path_ / name;
}

void RunDirectory::log(const nlohmann::ordered_json& entry) {
  const fs::path file = path_ / "metrics.jsonl";
  errno = 0;
  std::ofstream stream(file, std::ios::app);
  stream << entry.dump() << '\n';
  stream.flush();
  if (!stream.good()) require_present();
  require(stream.good(), "{}: cannot be written: {}", file.string(), std::strerror(errno));
}

std::int64_t RunDirectory::log_bytes() const {
  std::error_code missing;
  const auto size = fs::file_size(path_ / "metrics.jsonl", missing);
  return missing ? 0 : static_cast<std::int64_t>(size);
}

void RunDirectory::truncate_log(std::int64_t bytes) {
  if (log_bytes() <= bytes) return;
  attempt(path_ / "metrics.jsonl", "shorten the file", [&](std::error_code& e) {
    fs::resize_file(path_ / "metrics.jsonl", static_cast<std::uintmax_t>(bytes), e);
  });
}

void RunDirectory::write_checkpoint(std::int64_t step, bool is_best,
                                    const std::function<void(const fs::path&)>& fill) {
  std::string name = fmt::format("step-{:08}", step);
  while (fs::exists(path_ / kCheckpoints / name)) name += 'b';
  const fs::path final = path_ / kCheckpoints / name, part = path_ / kCheckpoints / (name + ".part");
  require_present();
  attempt(part, "create the directory", [&](std::error_code& e) {
    fs::remove_all(part, e);
    fs::create_directory(part, e);
  });
  try {
    fill(part);
    attempt(final, "finish the checkpoint", [&](std::error_code& e) { fs::rename(part, final, e); });
  } catch (...) {
    std::error_code ignored;  // what failed before is what the user must hear of
    fs::remove_all(part, ignored);
    throw;
  }
  if (is_best) point("best", name);
  point("last", name);
  prune(kept_);
}

void RunDirectory::require_present() const {
  require(fs::is_directory(path_ / kCheckpoints),
          "{}: was removed or moved while the run was going on: there is nowhere to save it; it ends here",
          path_.string());
}

void RunDirectory::point(const std::string& link, const std::string& checkpoint) {
  const fs::path temporary = path_ / (link + ".part");
  attempt(path_ / link, "update the link", [&](std::error_code& e) {
    fs::remove(temporary, e);
    fs::create_directory_symlink(fs::path(kCheckpoints) / checkpoint, temporary, e);
    if (!e) fs::rename(temporary, path_ / link, e);
  });
}

fs::path RunDirectory::target(const char* link) const {
  std::error_code missing;
  return fs::read_symlink(path_ / link, missing).filename();
}

void RunDirectory::prune(std::int64_t kept_count) {
  const fs::path last = target("last"), best = target("best");
  std::vector<fs::path> complete, others;
  std::error_code ignored;  // a checkpoint that cannot be removed costs space, nothing else
  for (const auto& entry : fs::directory_iterator(path_ / kCheckpoints, ignored))
    (entry.path().extension() == ".part" ? others : complete).push_back(entry.path());
  // The names sort by step.
  std::sort(complete.rbegin(), complete.rend());
  const auto kept = std::min(complete.size(), static_cast<std::size_t>(kept_count));
  others.insert(others.end(), complete.begin() + static_cast<std::ptrdiff_t>(kept), complete.end());
  for (const fs::path& checkpoint : others)
    if (checkpoint.filename() != last && checkpoint.filename() != best) fs::remove_all(checkpoint, ignored);
}

}  // namespace sagitta::apps
