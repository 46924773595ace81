#include "apps/train/notices.h"

#include <fmt/format.h>

namespace sagitta::apps {

void Notices::note(const std::string& line) const {
  if (progress_)
    progress_->warn(line);
  else
    fmt::print(stderr, "{}\n", line);
}

void Notices::warn_once(const std::string& what, const std::string& remedy) {
  if (warned_.insert(remedy).second) note(fmt::format("warning: {}; {}", what, remedy));
}

}  // namespace sagitta::apps
