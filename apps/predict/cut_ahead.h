// CutAhead: studies cut by threads ahead of their consumer, who runs the models.
// Invariant: studies come in order, and never more than `jobs` of them are in memory besides the one given
// out.
#pragma once
#include <deque>
#include <future>
#include <memory>
#include <span>

#include "apps/reslice/cut_study.h"

namespace sagitta::apps {

class CutAhead {
 public:
  // `studies` and `options` must outlive it. Each of `jobs` threads at a time keeps one volume in memory.
  CutAhead(std::span<const StudyInput> studies, const CutOptions& options, std::size_t jobs);

  // The next study; call it as often as there are studies.
  StudyCut next();

 private:
  // The memory for one study's voxels, used by one study after the other.
  struct Lane {
    data::Volume volume;
    std::future<StudyCut>
        cut;  // its destructor waits, so that the volume is not pulled from under the thread
  };
  void begin(Lane& lane);

  std::span<const StudyInput> studies_;
  const CutOptions& options_;
  std::deque<Lane> lanes_;
  std::size_t begun_ = 0, given_ = 0;
};

}  // namespace sagitta::apps
