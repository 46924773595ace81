// bench_device: where the time of a training step goes, op by op, on a CPU or GPU.
// The calls are recorded from the model itself (recording_backend.h); each distinct one is then timed alone,
// the way a trainer runs it: captured, on random values, on memory that has left the caches. Two ceilings are
// measured first, in the same run: a large copy and a large matrix product. What a call would take at the
// ceiling that binds it, divided by what it takes, is its share of the ceiling; what it takes above that,
// times the calls per step, is what there is to gain.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "bench/machine.h"
#include "bench/recorded_step.h"
#include "bench/recording_backend.h"
#include "cuda/cuda.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
using bench::RecordedCall;
using Json = nlohmann::ordered_json;

struct Options {
  std::string arch = "resnet-50", only, json;
  std::int64_t image_size = 0, batch = 256;
  bool quick = false;
  apps::DeviceOptions device;
};

struct Timing {
  RecordedCall call;
  double seconds = 0;  // of one call
};

class Meter {
 public:
  Meter(Backend& backend, DType dtype, bool quick) : backend_(backend), maker_(backend), quick_(quick) {
    const bool gpu = backend.device().kind == Device::Kind::cuda;
    const std::int64_t copied = gpu ? std::int64_t{1} << 28 : 1 << 23;
    const std::int64_t side = gpu ? 8192 : 1024;
    bench::RecordingBackend recorder;
    const Tensor x(recorder, {copied}, DType::f32), a(recorder, {side, side}, dtype);
    Tensor y = x.like(), product = a.like();
    recorder.convert(x, y);
    recorder.matmul({.transpose_b = true}, a, a, {product});
    copy_rate_ = recorder.calls()[0].bytes / measure(recorder.calls()[0]);
    product_rate_ = recorder.calls()[1].flop / measure(recorder.calls()[1]);
  }

  double copy_rate() const { return copy_rate_; }        // bytes per second, read plus written
  double product_rate() const { return product_rate_; }  // FLOP per second

  // Seconds that the call would take at the ceiling that binds it.
  double at_ceiling(const RecordedCall& call) const {
    return std::max(call.bytes / copy_rate_, call.flop / product_rate_);
  }
  bool bound_by_products(const RecordedCall& call) const {
    return call.flop / product_rate_ > call.bytes / copy_rate_;
  }

  // Seconds of one call: the median of several samples.
  double measure(const RecordedCall& call) {
    constexpr double kBeyondCaches = 256e6;  // a call finds nothing of its own from last time in 50 MB of L2
    const double sets = std::clamp(std::ceil(kBeyondCaches / std::max(call.bytes, 1.0)), 1.0, 8.0);
    std::vector<std::function<void()>> runs;
    for (int i = 0; i < static_cast<int>(sets); ++i) runs.push_back(call.prepare(maker_));
    const auto captured = backend_.capture([&] {
      for (const auto& run : runs) run();
    });
    // Chooses algorithms, records, and launches the record once.
    for (int i = 0; i < 3; ++i) replay(*captured, 1);
    const double once = replay(*captured, 1);
    const double wanted = quick_ ? 3e-3 : 20e-3;
    const int repetitions = static_cast<int>(std::clamp(wanted / once, 1.0, 1000.0));
    std::vector<double> samples;
    for (int i = 0; i < (quick_ ? 3 : 7); ++i)
      samples.push_back(replay(*captured, repetitions) / repetitions);
    return bench::median(samples) / sets;
  }

 private:
  double replay(Captured& captured, int repetitions) {
    const double start = bench::seconds_now();
    for (int i = 0; i < repetitions; ++i) captured.replay();
    backend_.synchronize();
    return bench::seconds_now() - start;
  }

  Backend& backend_;
  bench::TensorMaker maker_;
  bool quick_;
  double copy_rate_ = 0, product_rate_ = 0;
};

void print_table(const Meter& meter, const std::vector<Timing>& timings) {
  fmt::print("{:<30} {:<58} {:>5} {:>10} {:>15} {:>8} {:>9} {:>9}\n", "op", "shapes", "calls", "us/call",
             "rate", "ceiling", "ms/step", "above it");
  for (const auto& [call, seconds] : timings) {
    const std::string rate = meter.bound_by_products(call)
                                 ? fmt::format("{:.2f} TFLOP/s", call.flop / seconds * 1e-12)
                                 : fmt::format("{:.0f} GB/s", call.bytes / seconds * 1e-9);
    const double at_ceiling = meter.at_ceiling(call);
    fmt::print("{:<30} {:<58} {:>5} {:>10.1f} {:>15} {:>6.0f} % {:>9.3f} {:>9.3f}\n", call.op, call.detail,
               call.times, seconds * 1e6, rate, 100 * at_ceiling / seconds, seconds * call.times * 1e3,
               (seconds - at_ceiling) * call.times * 1e3);
  }
}

int run(const Options& options) {
  const apps::OpenedDevice device = apps::open_device(options.device);
  Meter meter(device.backend, device.dtype, options.quick);
  const Device where = device.backend.device();
  const std::string name = where.kind == Device::Kind::cuda ? cuda::device_name(where.index) : where.str();
  fmt::print(
      "{}, batch {}, {}, {} attention, on {}\nceilings: copy {:.0f} GB/s, matrix product {:.2f} TFLOP/s\n\n",
      options.arch, options.batch, options.device.precision, options.device.attention, name,
      meter.copy_rate() * 1e-9, meter.product_rate() * 1e-12);
  std::vector<Timing> timings;
  const models::ModelConfig config = bench::config_of(options.arch, options.image_size);
  const auto rule = config.vit() != nullptr ? bench::UpdateRule::adamw : bench::UpdateRule::sgd;
  for (const RecordedCall& call : bench::calls_of_training(config, options.batch, device.dtype, rule))
    if (call.op.find(options.only) != std::string::npos) timings.push_back({call, meter.measure(call)});
  std::stable_sort(timings.begin(), timings.end(), [](const Timing& a, const Timing& b) {
    return a.seconds * a.call.times > b.seconds * b.call.times;
  });
  print_table(meter, timings);

  double step = 0, at_ceiling = 0;
  Json ops = Json::array();
  for (const auto& [call, seconds] : timings) {
    step += seconds * call.times;
    at_ceiling += meter.at_ceiling(call) * call.times;
    ops.push_back({{"op", call.op},
                   {"shapes", call.detail},
                   {"calls_per_step", call.times},
                   {"microseconds", seconds * 1e6},
                   {"gb_per_s", call.bytes / seconds * 1e-9},
                   {"tflop_per_s", call.flop / seconds * 1e-12},
                   {"share_of_ceiling", meter.at_ceiling(call) / seconds},
                   {"ms_per_step", seconds * call.times * 1e3}});
  }
  fmt::print("\nall of them: {:.2f} ms per step, {:.2f} ms at the ceilings\n", step * 1e3, at_ceiling * 1e3);
  if (options.json.empty()) return 0;
  const Json result{{"device", name},
                    {"arch", options.arch},
                    {"batch", options.batch},
                    {"precision", options.device.precision},
                    {"attention", options.device.attention},
                    {"conv_algo", options.device.conv_algo},
                    {"only", options.only},
                    {"copy_gb_per_s", meter.copy_rate() * 1e-9},
                    {"matmul_tflop_per_s", meter.product_rate() * 1e-12},
                    {"ms_per_step", step * 1e3},
                    {"ms_per_step_at_ceilings", at_ceiling * 1e3},
                    {"ops", ops}};
  write_text_file(options.json, result.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times every op of a training step by itself and against the device's measured ceilings",
               "bench_device");
  Options options;
  app.add_option("--arch", options.arch, "a built-in model, e.g. resnet-50, vit-base-patch16-384")
      ->capture_default_str();
  app.add_option("--image-size", options.image_size, "pixels per side (0: the architecture's own)")
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images per step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--only", options.only, "only ops whose name contains this, e.g. conv2d");
  app.add_flag("--quick", options.quick, "fewer repetitions");
  app.add_option("--json", options.json, "also write the result to this file");
  apps::add_device_options(app, options.device);
  return apps::run_main(app, argc, argv, [&] { return run(options); });
}
