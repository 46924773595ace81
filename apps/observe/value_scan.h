// ValueScan: how many values of a tensor are not finite, or the range of those that are.
#pragma once
#include <cstdint>
#include <string>

#include "tensor/backend.h"

namespace sagitta::apps {

struct ValueScan {
  std::int64_t count = 0, nans = 0, infinities = 0;
  double smallest = 0, largest = 0;  // of the finite values, if there are any

  bool is_finite() const { return nans + infinities == 0; }
  // "-1.2 to 3.4" when all are finite, "3 NaN and 1 Inf of 64" otherwise
  std::string text() const;
};

// Looks at every value of a floating-point tensor of any backend; waits for it.
ValueScan scan_values(const Tensor& tensor, Backend& backend);
// Whether all values are finite: the backend's own sum tells for most tensors, without moving them.
bool all_finite(const Tensor& tensor, Backend& backend);

}  // namespace sagitta::apps
