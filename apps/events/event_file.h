// EventFile: what TensorBoard reads. Framed protobuf messages (TFRecord: length, checksum, bytes, checksum)
// in a file of its own for every start of a run. Invariant: events are appended whole and flushed, so that a
// killed run leaves at most a cut-off last record, which readers skip.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/image.h"

namespace sagitta::apps {

class EventFile {
 public:
  // Opens a new file in `folder`. What files of earlier starts hold from step `first_step` on counts no more.
  // Throws Error when it cannot be written.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // TensorBoard holds scalars as f32. A slash in a tag groups it with others.
  void add_scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void add_image(std::int64_t step, const std::string& tag, const data::Image& image);
  // Scores in [0, 1] and targets 0 or 1.
  void add_precision_recall(std::int64_t step, const std::string& tag, std::span<const float> scores,
                            std::span<const float> targets);
  // What the run was told, and the tags of the scalars to judge it by.
  void add_hyperparameters(const std::vector<std::pair<std::string, std::string>>& values,
                           const std::vector<std::string>& metrics);
  // That the run came to its end.
  void add_end();

  // Whether this build can write events (it needs protobuf); otherwise nothing is written.
  static bool is_available();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sagitta::apps
