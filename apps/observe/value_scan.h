// ValueScan: how many values of a tensor are not finite, and the range of those that are.
#pragma once
#include <cstdint>
#include <string>

#include "tensor/backend.h"

namespace sagitta::apps {

struct ValueScan {
  std::int64_t count = 0, nans = 0, infinities = 0;
  std::int64_t first = -1;  // index of the first value that is not finite, row-major
  bool first_is_nan = false;
  double smallest = 0, largest = 0;  // of the finite values, if there are any

  bool is_finite() const { return nans + infinities == 0; }
  // "finite, -1.2 to 3.4", "3 NaN and 1 Inf of 64, the others -1.2 to 3.4", "all 64 are NaN"
  std::string text() const;
};

// Looks at every value of a floating-point tensor of any backend; waits for it.
ValueScan scan_values(const Tensor& tensor, Backend& backend);
// Whether all values are finite: the backend's own sum tells for most tensors, without moving them.
bool all_finite(const Tensor& tensor, Backend& backend);

// The index of element `flat` of a tensor: "[0, 3, 1]".
std::string index_text(const Shape& shape, std::int64_t flat);

}  // namespace sagitta::apps
