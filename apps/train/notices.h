// Notices: what a run says on stderr beside its progress: lines of their own, above the progress line where
// one is drawn. Invariant: a warning is said once in a run of the program, however often its cause returns.
#pragma once
#include <set>
#include <string>

#include "apps/engine/progress.h"

namespace sagitta::apps {

class Notices {
 public:
  // The progress line that is drawn from now on; null: none.
  void show_above(Progress* progress) { progress_ = progress; }

  void note(const std::string& line) const;
  // "warning: <what>; <remedy>", unless there was one with this remedy.
  void warn_once(const std::string& what, const std::string& remedy);

 private:
  Progress* progress_ = nullptr;
  std::set<std::string> warned_;
};

}  // namespace sagitta::apps
