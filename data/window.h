// From Hounsfield units to grey levels: display windows (VOI LUT functions of DICOM PS3.3 C.11.2.1.2).
// Used when planes become pictures. Invariant: air, being below all these windows but "lung", becomes 0.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sagitta::data {

enum class WindowFunction { linear, linear_exact };

struct Window {
  double center = 0, width = 1;  // HU
  WindowFunction function = WindowFunction::linear;

  // Grey level 0..255, rounded. `linear` is C.11.2.1.2.1 (width >= 1), `linear_exact` C.11.2.1.3.2 (width >
  // 0).
  std::uint8_t grey(double hu) const;
};

struct NamedWindow {
  const char* name;
  Window window;
};

// bone, bone_wide, bone_soft, soft_tissue, spine, lung.
std::span<const NamedWindow> named_windows();

// "bone", or center and width as "400/1800", optionally with "exact:" before it. Throws Error listing the
// names.
Window parse_window(std::string_view text);

// Applies a window to many values.
std::vector<std::uint8_t> to_grey(std::span<const float> hu, const Window& window);

}  // namespace sagitta::data
