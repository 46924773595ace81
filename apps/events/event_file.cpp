#include "apps/events/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "events/tensorboard.pb.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;
namespace tb = tensorboard;

constexpr std::size_t kThresholds = 127;  // of a precision-recall curve, as TensorBoard's own writer has

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// CRC-32C (Castagnoli), the polynomial reflected.
std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78u : value >> 1;
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(c)) & 255] ^ crc >> 8;
  return ~crc;
}

// The checksum of a frame, rotated and shifted so that a checksum of checksums is none of them.
std::uint32_t frame_checksum(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

tb::Summary::Value& add_plugin_value(tb::Event& event, const std::string& tag, const char* plugin,
                                     const google::protobuf::Message& content) {
  tb::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(tag);
  auto& data = *value.mutable_metadata()->mutable_plugin_data();
  data.set_plugin_name(plugin);
  data.set_content(content.SerializeAsString());
  return value;
}

void set_floats(tb::Tensor& tensor, const std::vector<std::int64_t>& shape,
                const std::vector<float>& values) {
  tensor.set_dtype(tb::Tensor::FLOAT);
  for (const std::int64_t size : shape) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
  std::string& bytes = *tensor.mutable_tensor_content();
  for (const float value : values) {
    std::uint32_t word = 0;
    std::memcpy(&word, &value, sizeof word);
    bytes += little_endian(word, 4);
  }
}

}  // namespace

struct EventFile::Impl {
  fs::path path;
  int descriptor = -1;

  void write(tb::Event event, std::int64_t step) const {
    event.set_wall_time(now());
    event.set_step(step);
    const std::string bytes = event.SerializeAsString(), length = little_endian(bytes.size(), 8);
    const std::string frame =
        length + little_endian(frame_checksum(length), 4) + bytes + little_endian(frame_checksum(bytes), 4);
    // One write for the whole frame: a reader at work meets it whole.
    for (std::size_t at = 0; at < frame.size();) {
      const ssize_t count = ::write(descriptor, frame.data() + at, frame.size() - at);
      if (count < 0 && errno == EINTR) continue;
      require(count >= 0, "{}: cannot be written: {}", path.string(), std::strerror(errno));
      at += static_cast<std::size_t>(count);
    }
  }
  void write_hyperparameters(const char* tag, tb::HyperparameterData data) const {
    tb::Event event;
    set_floats(*add_plugin_value(event, tag, "hparams", data).mutable_tensor(), {0}, {});
    write(std::move(event), 0);
  }
};

EventFile::EventFile(const fs::path& folder, std::int64_t first_step) : impl_(std::make_unique<Impl>()) {
  // Readers take the files of a folder in the order of their names.
  const auto time = static_cast<std::int64_t>(now() * 1000);
  impl_->path = folder / fmt::format("events.out.tfevents.{}.sagitta.{}", time, ::getpid());
  impl_->descriptor = ::open(impl_->path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  require(impl_->descriptor >= 0, "{}: cannot be written: {}", impl_->path.string(), std::strerror(errno));
  tb::Event version, start;
  version.set_file_version("brain.Event:2");
  impl_->write(std::move(version), 0);
  start.mutable_session_log()->set_status(tb::SessionLog::START);
  impl_->write(std::move(start), first_step);
}

EventFile::~EventFile() { ::close(impl_->descriptor); }

bool EventFile::is_available() { return true; }

void EventFile::add_scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  tb::Event event;
  for (const auto& [tag, value] : values) {
    tb::Summary::Value& scalar = *event.mutable_summary()->add_value();
    scalar.set_tag(tag);
    scalar.set_simple_value(static_cast<float>(value));
  }
  impl_->write(std::move(event), step);
}

void EventFile::add_image(std::int64_t step, const std::string& tag, const data::Image& image) {
  tb::Event event;
  tb::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(tag);
  tb::Summary::Image& picture = *value.mutable_image();
  picture.set_width(image.width);
  picture.set_height(image.height);
  picture.set_colorspace(image.channels);
  picture.set_encoded_image_string(data::png_bytes(image));
  impl_->write(std::move(event), step);
}

void EventFile::add_precision_recall(std::int64_t step, const std::string& tag, std::span<const float> scores,
                                     std::span<const float> targets) {
  require(scores.size() == targets.size(), "events: {} scores for {} targets", scores.size(), targets.size());
  // Positives and negatives by the last threshold that their score reaches.
  std::vector<double> positives(kThresholds), negatives(kThresholds);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double place = std::clamp(static_cast<double>(scores[i]), 0.0, 1.0) * (kThresholds - 1);
    (targets[i] > 0.5F ? positives : negatives)[static_cast<std::size_t>(place)] += 1;
  }
  std::vector<float> rows(6 * kThresholds);
  double true_positives = 0, false_positives = 0, all_positives = 0, all_negatives = 0;
  for (std::size_t t = 0; t < kThresholds; ++t) all_positives += positives[t], all_negatives += negatives[t];
  for (std::size_t t = kThresholds; t-- > 0;) {
    true_positives += positives[t];
    false_positives += negatives[t];
    const double predicted = true_positives + false_positives;
    const double values[6] = {true_positives,
                              false_positives,
                              all_negatives - false_positives,
                              all_positives - true_positives,
                              predicted > 0 ? true_positives / predicted : 1,
                              all_positives > 0 ? true_positives / all_positives : 0};
    for (std::size_t row = 0; row < 6; ++row) rows[row * kThresholds + t] = static_cast<float>(values[row]);
  }
  tb::PrCurveData data;
  data.set_num_thresholds(kThresholds);
  tb::Event event;
  set_floats(*add_plugin_value(event, tag, "pr_curves", data).mutable_tensor(),
             {6, static_cast<std::int64_t>(kThresholds)}, rows);
  impl_->write(std::move(event), step);
}

void EventFile::add_hyperparameters(const std::vector<std::pair<std::string, std::string>>& values,
                                    const std::vector<std::string>& metrics) {
  tb::HyperparameterData experiment, start;
  for (const auto& [name, value] : values) {
    auto& info = *experiment.mutable_experiment()->add_hparam_infos();
    info.set_name(name);
    info.set_type(tb::Experiment::Hyperparameter::STRING);
    (*start.mutable_session_start_info()->mutable_hparams())[name].set_string_value(value);
  }
  for (const std::string& tag : metrics)
    experiment.mutable_experiment()->add_metric_infos()->mutable_name()->set_tag(tag);
  start.mutable_session_start_info()->set_start_time_secs(now());
  impl_->write_hyperparameters("_hparams_/experiment", std::move(experiment));
  impl_->write_hyperparameters("_hparams_/session_start_info", std::move(start));
}

void EventFile::add_end() {
  tb::HyperparameterData end;
  end.mutable_session_end_info()->set_status(tb::SessionEnd::SUCCESS);
  end.mutable_session_end_info()->set_end_time_secs(now());
  impl_->write_hyperparameters("_hparams_/session_end_info", std::move(end));
}

}  // namespace sagitta::apps
