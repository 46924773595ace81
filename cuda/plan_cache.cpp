#include "cuda/plan_cache.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <sstream>
#include <system_error>

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::cuda {
namespace {

std::string file_name(std::string_view identity) {
  std::string name = "plans-";
  for (const char c : identity) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return name + ".txt";
}

}  // namespace

std::filesystem::path user_cache_directory() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
    return std::filesystem::path(cache) / "sagitta";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::filesystem::path(home) / ".cache" / "sagitta";
  return {};
}

PlanCache::PlanCache(const std::filesystem::path& directory, std::string_view identity)
    : header_(fmt::format("sagitta plans 1: {}", identity)) {
  if (directory.empty()) return;
  file_ = directory / file_name(identity);
  read();
}

const std::string* PlanCache::find(const std::string& key) const {
  const auto choice = choices_.find(key);
  return choice == choices_.end() ? nullptr : &choice->second;
}

void PlanCache::store(const std::string& key, const std::string& choice) {
  if (!file_.empty()) read();  // what other processes have added meanwhile
  choices_[key] = choice;
  if (!file_.empty()) write();
}

void PlanCache::read() try {
  std::istringstream text(read_text_file(file_));
  std::string line;
  if (!std::getline(text, line) || line != header_) return;
  while (std::getline(text, line)) {
    const std::size_t tab = line.find('\t');
    // The last line of a damaged file may be cut short, so only lines that end count.
    if (tab != std::string::npos && !text.eof())
      choices_.try_emplace(line.substr(0, tab), line.substr(tab + 1));
  }
} catch (const Error&) {  // there is no file, or none that can be read
}

void PlanCache::write() const try {
  std::error_code ignored;
  std::filesystem::create_directories(file_.parent_path(), ignored);
  std::string text = header_ + '\n';
  for (const auto& [key, choice] : choices_) text += fmt::format("{}\t{}\n", key, choice);
  AtomicFile file(file_, Durability::survives_crash);
  file.write(text);
  file.commit();
} catch (const Error&) {  // the choices stay in memory
}

}  // namespace sagitta::cuda
