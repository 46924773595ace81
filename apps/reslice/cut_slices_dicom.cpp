#include "apps/reslice/cut_slices.h"
#include "apps/reslice/reslice.h"
#include "tensor/error.h"

namespace sagitta::apps {

void cut_slices(const SliceSource& source) {
  ResliceOptions options;
  static_cast<CutOptions&>(options) = cut_options(source);
  options.data = source.data;
  options.out = source.cache;
  const ResliceSummary summary = reslice(options);
  require(summary.usable() > 0, "--data {}: no study was usable; see {}", source.data,
          (source.cache / "studies.json").string());
}

}  // namespace sagitta::apps
