// TensorBoard's events: the bytes of TensorBoard's own writer, and a run's log read back from its frames.
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/events/run_log.h"
#include "events/tensorboard.pb.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::apps;
using testing::TempFolder;
namespace tb = sagitta::tensorboard;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char c : bytes) text += fmt::format("{:02x}", c);
  return text;
}

std::uint64_t number(const std::string& bytes, std::size_t at, int count) {
  std::uint64_t value = 0;
  for (int i = count; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + static_cast<std::size_t>(i)));
  return value;
}

// CRC-32C bit by bit, masked: the definition, against which the table of the writer is held.
std::uint32_t checksum(const std::string& bytes) {
  std::uint32_t crc = ~0u;
  for (const unsigned char c : bytes) {
    crc ^= c;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::vector<tb::Event> read_events(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<tb::Event> events;
  for (const fs::path& file : files) {
    const std::string bytes = testing::read_bytes(file);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::uint64_t length = number(bytes, at, 8);
      CHECK(number(bytes, at + 8, 4) == checksum(bytes.substr(at, 8)));
      const std::string message = bytes.substr(at + 12, length);
      REQUIRE(message.size() == length);
      CHECK(number(bytes, at + 12 + length, 4) == checksum(message));
      REQUIRE(events.emplace_back().ParseFromString(message));
      at += 16 + length;
    }
  }
  return events;
}

// What a reader shows: of each tag the values by step, without what a later start took back.
std::map<std::string, std::map<std::int64_t, float>> scalars_of(const std::vector<tb::Event>& events) {
  std::map<std::string, std::map<std::int64_t, float>> scalars;
  for (const tb::Event& event : events) {
    if (event.session_log().status() == tb::SessionLog::START)
      for (auto& [tag, values] : scalars) values.erase(values.lower_bound(event.step()), values.end());
    for (const tb::Summary::Value& value : event.summary().value())
      if (value.value_case() == tb::Summary::Value::kSimpleValue)
        scalars[value.tag()][event.step()] = value.simple_value();
  }
  return scalars;
}

}  // namespace

// Made with tensorboard 2.21: tensorboard.compat.proto and tensorboard.summary.writer.record_writer.
TEST_CASE("messages have the bytes that TensorBoard's own classes give them") {
  tb::Event event;
  event.set_wall_time(1.5);
  event.set_step(7);
  tb::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag("a/b");
  value.set_simple_value(0.25F);
  CHECK(hex(event.SerializeAsString()) == "09000000000000f83f10072a0c0a0a0a03612f62150000803e");
  CHECK(checksum(std::string("\x19\0\0\0\0\0\0\0", 8)) == 0x2808f18b);
  CHECK(checksum(event.SerializeAsString()) == 0x8ebd4d6b);

  tb::Event version;
  version.set_wall_time(1.5);
  version.set_file_version("brain.Event:2");
  CHECK(hex(version.SerializeAsString()) == "09000000000000f83f1a0d627261696e2e4576656e743a32");

  tb::Event start;
  start.set_wall_time(1.5);
  start.set_step(9);
  start.mutable_session_log()->set_status(tb::SessionLog::START);
  CHECK(hex(start.SerializeAsString()) == "09000000000000f83f10093a020801");

  value.set_tag("i");
  value.mutable_image()->set_height(2);
  value.mutable_image()->set_width(3);
  value.mutable_image()->set_colorspace(1);
  value.mutable_image()->set_encoded_image_string("png");
  CHECK(hex(event.SerializeAsString()) == "09000000000000f83f10072a120a100a0169220b0802100318012203706e67");

  value.set_tag("p");
  tb::PrCurveData curve;
  curve.set_num_thresholds(2);
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name("pr_curves");
  value.mutable_metadata()->mutable_plugin_data()->set_content(curve.SerializeAsString());
  value.mutable_tensor()->set_dtype(tb::Tensor::FLOAT);
  for (const int size : {6, 2}) value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(size);
  value.mutable_tensor()->set_tensor_content(std::string("\0\0\x80\x3f", 4));
  CHECK(hex(event.SerializeAsString()) ==
        "09000000000000f83f10072a2c0a2a0a0170421208011208120208061202080222040000803f4a110a0f0a0970725f637572"
        "766573120210"
        "02");

  tb::HyperparameterData began, ended, experiment;
  (*began.mutable_session_start_info()->mutable_hparams())["lr"].set_string_value("1e-3");
  began.mutable_session_start_info()->set_start_time_secs(1.5);
  CHECK(hex(began.SerializeAsString()) == "1a170a0c0a026c7212061a0431652d3329000000000000f83f");
  ended.mutable_session_end_info()->set_status(tb::SessionEnd::SUCCESS);
  ended.mutable_session_end_info()->set_end_time_secs(1.5);
  CHECK(hex(ended.SerializeAsString()) == "220b080111000000000000f83f");
  auto& info = *experiment.mutable_experiment()->add_hparam_infos();
  info.set_name("lr");
  info.set_type(tb::Experiment::Hyperparameter::STRING);
  experiment.mutable_experiment()->add_metric_infos()->mutable_name()->set_tag("epoch/x");
  CHECK(hex(experiment.SerializeAsString()) == "121522060a026c7220012a0b0a09120765706f63682f78");
}

TEST_CASE(
    "every number of the log is a scalar of the events, and a resumed run takes back what it makes again") {
  const TempFolder folder;
  RunDirectory run = RunDirectory::create(folder / "run");
  testing::write_bytes(folder / "run/recipe.toml", "lr=0.5\nlabels=[\"C1\", \"C2\"]\n");
  {
    RunLog log(run, 0);
    log.add({{"type", "step"}, {"step", 1}, {"loss", 0.75}, {"gradient_norm", Json()}});
    log.add({{"type", "epoch"}, {"step", 1}, {"validation_auroc", {{"C1", 0.5}, {"C2", Json()}}}});
    log.add({{"type", "step"}, {"step", 2}, {"loss", 123.0}, {"skipped", true}});
    log.add({{"type", "end"}, {"step", 2}, {"outcome", "stopped"}});
  }
  {
    RunLog log(run, 1);
    log.add({{"type", "step"}, {"step", 2}, {"loss", 0.5}, {"skipped", false}});
    log.end();
  }
  const std::vector<tb::Event> events = read_events(folder / "run/events");
  using Values = std::map<std::int64_t, float>;
  const auto scalars = scalars_of(events);
  CHECK(scalars.size() == 3);
  CHECK(scalars.at("step/loss") == Values{{1, 0.75F}, {2, 0.5F}});
  CHECK(scalars.at("step/skipped") == Values{{2, 0}});
  CHECK(scalars.at("epoch/validation_auroc/C1") == Values{{1, 0.5F}});
  CHECK(events.front().file_version() == "brain.Event:2");
  std::map<std::string, std::string> hyperparameters;
  bool ended = false;
  for (const tb::Event& event : events)
    for (const tb::Summary::Value& value : event.summary().value()) {
      if (value.metadata().plugin_data().plugin_name() != "hparams") continue;
      tb::HyperparameterData data;
      REQUIRE(data.ParseFromString(value.metadata().plugin_data().content()));
      for (const auto& [name, setting] : data.session_start_info().hparams())
        hyperparameters[name] = setting.string_value();
      ended |= data.session_end_info().status() == tb::SessionEnd::SUCCESS;
    }
  CHECK(hyperparameters == std::map<std::string, std::string>{{"lr", "0.5"}, {"labels", "C1, C2"}});
  CHECK(ended);
}

TEST_CASE("precision-recall curves count what reaches each threshold") {
  const TempFolder folder;
  const std::vector<float> scores{0.9F, 0.1F, 0.5F, 0.5F, 1, 0}, targets{1, 0, 1, 0, 0, 1};
  {
    EventFile events(folder.path(), 1);
    events.add_precision_recall(3, "C1", scores, targets);
    const data::Image image{.width = 2, .height = 1, .channels = 1, .pixels = {7, 9}};
    events.add_image(3, "picture", image);
  }
  const std::vector<tb::Event> events = read_events(folder.path());
  REQUIRE(events.size() == 4);
  const tb::Tensor& tensor = events[2].summary().value(0).tensor();
  const auto thresholds = static_cast<std::size_t>(tensor.tensor_shape().dim(1).size());
  REQUIRE(tensor.tensor_content().size() == 6 * thresholds * 4);
  std::vector<float> values(6 * thresholds);
  std::memcpy(values.data(), tensor.tensor_content().data(), tensor.tensor_content().size());
  for (std::size_t t = 0; t < thresholds; ++t) {
    const double threshold = static_cast<double>(t) / static_cast<double>(thresholds - 1);
    double tp = 0, fp = 0, tn = 0, fn = 0;
    for (std::size_t i = 0; i < scores.size(); ++i)
      ++(static_cast<double>(scores[i]) >= threshold ? (targets[i] == 1 ? tp : fp)
                                                     : (targets[i] == 1 ? fn : tn));
    CAPTURE(threshold);
    const double expected[6] = {tp, fp, tn, fn, tp + fp > 0 ? tp / (tp + fp) : 1, tp / 3};
    for (std::size_t row = 0; row < 6; ++row)
      CHECK(values[row * thresholds + t] == doctest::Approx(expected[row]));
  }
  const tb::Summary::Image& image = events[3].summary().value(0).image();
  CHECK(image.width() == 2);
  CHECK(image.encoded_image_string().substr(1, 3) == "PNG");
}

TEST_CASE("a run shows its first batch once, and the hardest slices after epochs 1, 2, 4 and the last") {
  const TempFolder folder;
  const Trainer::Data data = testing::make_data(folder, 13);  // 5 steps an epoch
  TrainOptions options = testing::options_for(1);
  options.schedule = "constant";
  options.epochs = 3;
  {
    testing::Run run(RunDirectory::create(folder / "run"), options, data);
    run.trainer->run();
  }
  testing::write_bytes(folder / "run/recipe.toml", "");
  options.epochs = 6;
  testing::Run resumed(RunDirectory::open(folder / "run"), options, data);
  resumed.trainer->resume();
  resumed.trainer->run();
  std::map<std::string, std::vector<std::int64_t>> steps;
  for (const tb::Event& event : read_events(folder / "run/events"))
    for (const tb::Summary::Value& value : event.summary().value()) {
      if (value.value_case() != tb::Summary::Value::kImage) continue;
      steps[value.tag()].push_back(event.step());
      testing::write_bytes(folder / "shown.png", value.image().encoded_image_string());
      const data::Image image = data::read_image(folder / "shown.png");
      CHECK(image.width == value.image().width());
      CHECK(image.height == value.image().height());
      CHECK(image.channels == value.image().colorspace());
    }
  using Steps = std::vector<std::int64_t>;
  CHECK(steps.size() == 2);
  CHECK(steps["training/first_batch"] == Steps{1});
  CHECK(steps["validation/highest_loss"] == Steps{5, 10, 15, 20, 30});  // 15 was the last one before
}
