// A study's picture: the sagittal planes that mattered most, each beside itself under heat, with axes in mm
// and the probabilities. Invariant: nothing in it names a patient; what it shows of a study's name is its
// end.
#pragma once
#include <string>
#include <vector>

#include "apps/predict/study_predictor.h"
#include "data/image.h"

namespace sagitta::apps {

// What stands on all output.
inline constexpr const char* kNotice =
    "Research software, not a medical device: do not use its output for diagnosis.";

// A plane that is shown because of one output.
struct ShownPlane {
  std::size_t picture = 0, output = 0;
};

// The vertebrae that stand out - the most probable one and at most two more that are at least half as
// probable - each in the plane where it is most probable; of models without vertebrae their first output.
// Most probable first.
std::vector<ShownPlane> planes_to_show(const StudyPrediction& prediction);

// The picture, RGB, whose caption says what `record` (StudyCut::record) tells about the series. `how` says
// how slices became a study.
data::Image study_picture(const StudyCut& cut, const StudyPrediction& prediction,
                          const StudyPredictor& predictor, const std::string& how);

}  // namespace sagitta::apps
