#include "apps/predict/cut_ahead.h"

#include <algorithm>

#include "tensor/error.h"

namespace sagitta::apps {

CutAhead::CutAhead(std::span<const StudyInput> studies, const CutOptions& options, std::size_t jobs)
    : studies_(studies), options_(options), lanes_(std::max<std::size_t>(1, std::min(jobs, studies.size()))) {
  for (Lane& lane : lanes_) begin(lane);
}

void CutAhead::begin(Lane& lane) {
  if (begun_ == studies_.size()) return;
  lane.cut = std::async(std::launch::async, [this, &lane, study = begun_++] {
    return cut_study(studies_[study], options_, lane.volume);
  });
}

StudyCut CutAhead::next() {
  require(given_ < studies_.size(), "CutAhead: all {} studies were given", studies_.size());
  Lane& lane = lanes_[given_++ % lanes_.size()];
  StudyCut cut = lane.cut.get();
  begin(lane);
  return cut;
}

}  // namespace sagitta::apps
