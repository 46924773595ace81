#include "apps/reslice/cut_slices.h"
#include "tensor/error.h"

namespace sagitta::apps {

void cut_slices(const SliceSource& source) {
  fail(
      "--data {}: is no folder written by reslice, and this build cannot read DICOM (it lacks DCMTK: install "
      "libdcmtk-dev and build again)",
      source.data);
}

}  // namespace sagitta::apps
