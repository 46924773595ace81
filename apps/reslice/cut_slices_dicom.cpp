#include "apps/reslice/cut_slices.h"
#include "apps/reslice/reslice.h"
#include "tensor/error.h"

namespace sagitta::apps {

void cut_slices(const SliceSource& source) {
  ResliceOptions options;
  options.data = source.data;
  options.out = source.cache;
  options.planes = source.slices;
  options.span_mm = source.span_mm;
  options.size = source.size;
  options.channels = parse_channels(source.channels);
  options.windows = parse_windows(source.window, options.channels);
  const ResliceSummary summary = reslice(options);
  require(summary.usable() > 0, "--data {}: no study was usable; see {}", source.data,
          (source.cache / "studies.json").string());
}

}  // namespace sagitta::apps
