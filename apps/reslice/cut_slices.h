// Cutting slices on the fly, for programs that are given studies. Two files implement it, and the build picks
// one: with DICOM it reslices, without it says what is missing.
#pragma once
#include "apps/engine/slices.h"

namespace sagitta::apps {

// Reslices source.data into source.cache; what an earlier call finished is kept.
void cut_slices(const SliceSource& source);

}  // namespace sagitta::apps
