// From values on the coarse grid that a network thinks in to heat over the pixels of its input; the last step
// of every method of explain.h.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace sagitta::models {

// Maps [N, rows, columns] whose cells are pixels_per_row x pixels_per_column large; cell (0, 0) begins in the
// picture's upper left corner. Values are at least 0.
struct CellMaps {
  std::int64_t rows = 0, columns = 0;
  double pixels_per_row = 1, pixels_per_column = 1;
  std::vector<float> values;
};

// -> [N, height, width] f32 on the CPU: enlarged bilinearly between the centers of the cells, flat outside
// the outermost ones (torch.nn.functional.interpolate, align_corners = false), each picture divided by its
// largest value. A picture of zeros stays one. Throws Error for values that are not finite.
Tensor heat_of(const CellMaps& maps, std::int64_t height, std::int64_t width);

// The elements of a tensor of any floating dtype, on the host.
std::vector<float> floats_of(const Tensor& tensor);

}  // namespace sagitta::models
