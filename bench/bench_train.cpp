// bench_train: images per second and peak memory of whole training steps, beside PyTorch's in the same run.
// Every round is a process of its own, ours and theirs in turn, so that both see the same machine and neither
// inherits the other's memory. A round is a few warm-up steps and then timed ones.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "autograd/ops.h"
#include "models/classifier.h"
#include "nn/arena.h"
#include "nn/optimizer.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string arch = "resnet-50", versus, python = "python3", json, label;
  std::int64_t image_size = 0, batch = 16;
  int steps = 5, rounds = 3;
  apps::DeviceOptions device;
  bool compile = false, worker = false;
};

std::string machine_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string today() {
  const std::chrono::year_month_day date(
      std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

// Seconds per step. On the CPU the median step; a GPU is not waited for in between, since neither framework
// does so in training, hence the mean.
template <class Step>
double time_steps(Backend& backend, int steps, const Step& step) {
  const bool is_gpu = backend.device().kind == Device::Kind::cuda;
  for (int i = 0; i < (is_gpu ? 10 : 2); ++i) step();  // the first ones choose algorithms and record the step
  backend.synchronize();
  std::vector<double> seconds;
  const int per_measurement = is_gpu ? steps : 1;
  for (int done = 0; done < steps; done += per_measurement) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < per_measurement; ++i) step();
    backend.synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count() / per_measurement);
  }
  return median(seconds);
}

// On a GPU of its tensors, on the CPU of the process.
double peak_mb(Backend& backend) {
  if (backend.device().kind == Device::Kind::cuda)
    return static_cast<double>(backend.memory_use().peak) / (1 << 20);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// One round of ours: {"images_per_second", "peak_mb"} on stdout. The same step as the peers': forward, binary
// cross-entropy, backward, SGD with momentum, on fixed synthetic images; captured, as the trainer does it.
Json run_worker(const Options& options) {
  models::ModelConfig config = models::config_for(options.arch);
  if (options.image_size > 0) config.image_size = options.image_size;
  config.labels = models::default_labels(7);
  const apps::OpenedDevice device = apps::open_device(options.device);
  Backend& backend = device.backend;
  nn::Context context(backend, device.dtype);
  const auto model = models::make_classifier(config, context);
  nn::initialize(*model, 1);
  nn::ParameterArena arena(*model, 1e-4, nn::DecayPolicy::all);
  nn::Sgd optimizer(arena, {.momentum = 0.9});
  if (device.dtype == DType::f16) optimizer.scale_loss();
  Tensor state = context.step_state();
  nn::write_step_state(state, {.learning_rate = 0.01});
  const Shape shape{options.batch, config.image_size, config.image_size, 3};
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random::normal({1, 0, 0}, i));
  const autograd::Variable pixels =
      autograd::cast(autograd::Variable(from_host(backend, shape, values)), device.dtype);
  const Tensor targets = zeros(backend, {options.batch, 7}, DType::f32);
  const Tensor one = full(backend, {1}, DType::f32, 1);
  const auto step = backend.capture([&] {
    arena.clear_gradients();
    const autograd::Variable logits = autograd::cast(model->logits(pixels), DType::f32);
    const autograd::Variable loss = autograd::bce_with_logits(logits, targets);
    autograd::backward(loss, optimizer.scaled_seed(one));
    optimizer.step(state);
  });
  const double seconds = time_steps(backend, options.steps, [&] { step->replay(); });
  return {{"images_per_second", static_cast<double>(options.batch) / seconds}, {"peak_mb", peak_mb(backend)}};
}

// The JSON on the last line that a command prints.
Json run_process(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  require(pipe != nullptr, "cannot run: {}", command);
  std::string line, last;
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) last = buffer.data();
  const Json json = Json::parse(last, nullptr, false);
  require(json.is_object(), "no result from: {}", command);
  return json;
}

int compare(const Options& options, const std::string& self) {
  const Device device = apps::choose_device(options.device);
  const std::string shape =
      fmt::format("--arch {} --image-size {} --batch {} --steps {} --device {} --precision {}", options.arch,
                  options.image_size, options.batch, options.steps, device.str(), options.device.precision);
  const std::string ours =
      fmt::format("'{}' --worker {} --attention {}", self, shape, options.device.attention);
  const std::string theirs = fmt::format("'{}' '{}/bench/peers/train_pytorch.py' {}{}", options.python,
                                         SAGITTA_SOURCE_DIR, shape, options.compile ? " --compile" : "");
  Json result{{"machine", machine_name()},
              {"date", today()},
              {"device", apps::describe(device)},
              {"precision", options.device.precision},
              {"arch", options.arch},
              {"image_size", options.image_size},
              {"batch", options.batch},
              {"threads", std::thread::hardware_concurrency()},
              {"rounds", Json::array()}};
  std::vector<double> our_speed, their_speed, ratios, our_memory, their_memory;
  fmt::print("{:>6}{:>16}{:>16}{:>8}{:>12}{:>12}\n", "round", "sagitta img/s", "pytorch img/s", "ratio",
             "sagitta MB", "pytorch MB");
  for (int round = 1; round <= options.rounds; ++round) {
    Json entry{{"sagitta", run_process(ours)}};
    our_speed.push_back(entry["sagitta"]["images_per_second"]);
    our_memory.push_back(entry["sagitta"]["peak_mb"]);
    if (!options.versus.empty()) {
      entry["pytorch"] = run_process(theirs);
      their_speed.push_back(entry["pytorch"]["images_per_second"]);
      their_memory.push_back(entry["pytorch"]["peak_mb"]);
      ratios.push_back(our_speed.back() / their_speed.back());
    }
    result["rounds"].push_back(entry);
    fmt::print("{:>6}{:>16.2f}{:>16.2f}{:>8.2f}{:>12.0f}{:>12.0f}\n", round, our_speed.back(),
               ratios.empty() ? 0 : their_speed.back(), ratios.empty() ? 0 : ratios.back(), our_memory.back(),
               ratios.empty() ? 0 : their_memory.back());
    std::fflush(stdout);
  }
  fmt::print("{:>6}{:>16.2f}{:>16.2f}{:>8.2f}{:>12.0f}{:>12.0f}\n", "median", median(our_speed),
             median(their_speed), median(ratios), median(our_memory), median(their_memory));
  result["median"] = {{"sagitta_images_per_second", median(our_speed)},
                      {"pytorch_images_per_second", median(their_speed)},
                      {"ratio", median(ratios)},
                      {"sagitta_peak_mb", median(our_memory)},
                      {"pytorch_peak_mb", median(their_memory)}};
  if (!options.json.empty()) write_text_file(options.json, result.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times whole training steps (forward, loss, backward, SGD) on synthetic images.",
               "bench_train");
  app.add_option("--arch", options.arch, "architecture")->capture_default_str();
  app.add_option("--image-size", options.image_size, "pixels per side (0: the architecture's own)")
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images per step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--steps", options.steps, "timed steps per round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--vs", options.versus, "run a peer in turn: pytorch")
      ->check(CLI::IsMember(std::vector<std::string>{"pytorch"}));
  app.add_flag("--compile", options.compile, "the peer compiles its model (torch.compile)");
  app.add_option("--python", options.python, "Python with torch and transformers")->capture_default_str();
  app.add_option("--json", options.json, "write the result to this file");
  apps::add_device_options(app, options.device);
  app.add_flag("--worker", options.worker, "one round in this process, result as JSON");
  return apps::run_main(app, argc, argv, [&] {
    if (!options.worker) return compare(options, argv[0]);
    fmt::print("{}\n", run_worker(options).dump());
    return 0;
  });
}
