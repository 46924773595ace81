// The pointing game (Zhang et al., "Top-down neural attention by excitation backprop", 2016): does the
// hottest pixel of a heat map lie where the finding is? Held against what pointing blindly would reach.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

namespace sagitta::apps {

// One question of the game: a slice, a label that is true of it, and where the boxes of that label are.
struct PointingTrial {
  std::string study, label;
  std::vector<std::uint8_t> mask;  // [size, size], 1 inside a box; somewhere 1
  double area = 0;                 // share of the picture inside the boxes: chance of a blind hit
  double body_area = 0;            // the same of what is not air
  double energy = 0;               // share of the heat inside the boxes; 0 without heat
  std::int64_t hottest = -1;       // pixel; -1 where the map is all 0, which is a miss

  bool hit() const { return hottest >= 0 && mask[static_cast<std::size_t>(hottest)] != 0; }
};
// `pixels` [size, size, 3] is what the network saw: up to grey level kAir it is air. `mask` must have a
// 1.
inline constexpr int kAir = 10;
PointingTrial pointing_trial(std::string study, std::string label, std::vector<std::uint8_t> mask,
                             std::span<const float> heat, std::span<const std::uint8_t> pixels);

// The trials of one label, or of all.
struct PointingScore {
  std::string label;
  int trials = 0, studies = 0, hits = 0;
  double rate = 0;            // hits / trials
  double chance = 0;          // mean body_area: a blind finger that at least finds the patient
  double picture_chance = 0;  // mean area
  double factor = 0;          // rate / chance
  double low = 0, high = 0;   // of the factor: 95 % bootstrap interval, whole studies drawn
  double energy = 0;          // mean share of the heat inside the boxes
  double energy_factor = 0;   // energy / chance
  // Hits with the map of another study for the same label: what knowing where C5 usually is would reach.
  // Pairs that have no such study are left out; NaN if all are.
  double swapped_rate = 0;
};

// One score per label, sorted by name, then one of all, labeled "all". `trials` must not be empty.
std::vector<PointingScore> score_pointing(const std::vector<PointingTrial>& trials);

std::string format_pointing(const std::vector<PointingScore>& scores);           // a table for the terminal
nlohmann::ordered_json pointing_json(const std::vector<PointingScore>& scores);  // undefined values are null

}  // namespace sagitta::apps
