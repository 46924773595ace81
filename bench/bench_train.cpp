// bench_train: images per second and peak memory of whole training steps (or of inference), beside PyTorch's
// in the same run. Every round is a process of its own, ours and theirs in turn, so that both see the same
// machine and neither inherits the other's memory; before each the machine is waited for until it is idle,
// and what other processes used meanwhile is reported. On the CPU the speed is also shown as a share of what
// the processors and the memory can do, measured in the same run. docs/performance-method.md says how to
// repeat it.
#include <cstdio>
#include <map>
#include <optional>
#include <thread>

#include "apps/engine/main_guard.h"
#include "bench/ceilings.h"
#include "bench/machine.h"
#include "bench/recorded_step.h"
#include "bench/rival.h"
#include "bench/train_worker.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
using Json = nlohmann::ordered_json;

struct Options {
  bench::WorkerOptions worker;
  std::string versus, python = "python3", json, peer_flags, peer_environment, peer_from;
  std::int64_t batch = 0;
  int rounds = 3;
  double idle_wait = 120;
  bool compile = false, is_worker = false;
};

// What one of the two showed in one round, or the medians of all rounds.
struct Figures {
  double images_per_second = 0, peak_mb = 0, others = 0;
};

constexpr std::int64_t kDefaultBatch = 16;

// The peer as the options say; also decides the batch of both.
bench::Rival choose_rival(Options& options) {
  bench::Rival rival;
  if (!options.peer_from.empty()) {
    rival = bench::rival_from(options.peer_from, {.arch = options.worker.arch,
                                                  .image_size = options.worker.image_size,
                                                  .inference = options.worker.inference,
                                                  .batch = options.batch});
  } else {
    rival.flags = bench::split_words(options.peer_flags);
    rival.environment = bench::parse_environment(options.peer_environment, "--peer-environment");
    if (options.compile) rival.flags.push_back("--compile");
  }
  options.worker.batch = options.batch > 0 ? options.batch : rival.batch > 0 ? rival.batch : kDefaultBatch;
  return rival;
}

// The arguments that both workers understand.
std::vector<std::string> shared_arguments(const Options& options, const Device& device) {
  const bench::WorkerOptions& worker = options.worker;
  std::vector<std::string> arguments{"--arch",       worker.arch,
                                     "--image-size", std::to_string(worker.image_size),
                                     "--batch",      std::to_string(worker.batch),
                                     "--steps",      std::to_string(worker.steps),
                                     "--device",     device.str(),
                                     "--precision",  worker.device.precision};
  if (worker.inference) arguments.push_back("--inference");
  return arguments;
}

// Runs a worker on an idle machine; the JSON on the last line that it prints, with "others_cpu" added.
Json run_process(const std::string& label, const std::vector<std::string>& command,
                 const bench::Environment& environment, double idle_wait) {
  if (!bench::wait_until_idle(idle_wait) && idle_wait > 0)
    fmt::print(stderr, "other processes keep the machine busy: the figures will be low\n");
  const bench::CpuTime before = bench::cpu_time();
  const auto [last, code] = bench::run_to_end(command, environment);
  const double others = bench::others_between(before, bench::cpu_time());
  Json json = Json::parse(last, nullptr, false);
  if (json.is_object() && json.contains("error")) fail("{}: {}", label, json["error"].dump());
  require(code == 0, "{}: ended with exit code {}; see its messages above", label, code);
  const auto is_number = [&](const char* key) { return json.contains(key) && json[key].is_number(); };
  require(json.is_object() && is_number("images_per_second") && is_number("peak_mb"),
          "{}: expected a line of JSON with images_per_second and peak_mb, got '{}'", label,
          last.substr(0, 200));
  json["others_cpu"] = others;
  return json;
}

Figures medians(const Json& rounds, const std::string& label) {
  std::map<std::string, std::vector<double>> values;
  for (const Json& round : rounds)
    for (const char* key : {"images_per_second", "peak_mb", "others_cpu"})
      values[key].push_back(round.at(label).at(key));
  return {bench::median(values["images_per_second"]), bench::median(values["peak_mb"]),
          bench::median(values["others_cpu"])};
}

Figures figures_of(const Json& entry) {
  return {entry.at("images_per_second"), entry.at("peak_mb"), entry.at("others_cpu")};
}

void print_header(bool versus) {
  fmt::print("{:>6}{:>15}{:>13}{:>13}", "round", "sagitta img/s", "MB", "others' CPU");
  if (versus) fmt::print("{:>17}{:>13}{:>13}{:>8}", "pytorch img/s", "MB", "others' CPU", "ratio");
  fmt::print("\n");
}

void print_figures(const std::string& round, const Figures& ours, const Figures* theirs, double ratio) {
  fmt::print("{:>6}{:>15.2f}{:>13.0f}{:>13.2f}", round, ours.images_per_second, ours.peak_mb, ours.others);
  if (theirs != nullptr)
    fmt::print("{:>17.2f}{:>13.0f}{:>13.2f}{:>8.2f}", theirs->images_per_second, theirs->peak_mb,
               theirs->others, ratio);
  fmt::print("\n");
  std::fflush(stdout);
}

// What the CPU can do at most, and what one image takes of it.
struct Ceilings {
  double fma_peak = 0;
  bench::MemoryBandwidth memory;
  bench::Cost image;
};

Ceilings measure_ceilings(const Options& options) {
  const auto config = bench::config_of(options.worker.arch, options.worker.image_size);
  const auto calls =
      options.worker.inference
          ? bench::calls_of_inference(config, options.worker.batch, DType::f32)
          : bench::calls_of_training(config, options.worker.batch, DType::f32, bench::UpdateRule::sgd);
  const bench::Cost step = bench::cost_of(calls);
  const auto batch = static_cast<double>(options.worker.batch);
  bench::wait_until_idle(options.idle_wait);
  return {bench::fma_peak(1), bench::memory_bandwidth(2), {step.flop / batch, step.bytes / batch}};
}

// Speed as a share of the ceilings, printed and for the document. PyTorch moves other bytes than we do: only
// its FLOP, which follow from the model, are a share of anything.
Json compare_with_ceilings(const std::string& label, const Figures& figures, const Ceilings& ceilings) {
  const double flop = figures.images_per_second * ceilings.image.flop;
  const double bytes = figures.images_per_second * ceilings.image.bytes;
  fmt::print("{}: {:.0f} GFLOP/s, {:.0f} % of the FMA peak", label, flop * 1e-9,
             100 * flop / ceilings.fma_peak);
  Json json{{"gflops", flop * 1e-9}, {"share_of_fma_peak", flop / ceilings.fma_peak}};
  if (label == "sagitta") {
    fmt::print("; {:.1f} GB/s if each op touches each element once, {:.0f} % of the memory's triad",
               bytes * 1e-9, 100 * bytes / ceilings.memory.triad);
    json["gb_per_s"] = bytes * 1e-9;
    json["share_of_triad"] = bytes / ceilings.memory.triad;
  }
  fmt::print("\n");
  return json;
}

Json describe_run(const Options& options, const Device& device) {
  return {{"machine", bench::machine_name()},
          {"date", bench::today()},
          {"device", apps::describe(device)},
          {"precision", options.worker.device.precision},
          {"conv_algo", options.worker.device.conv_algo},
          {"arch", options.worker.arch},
          {"image_size", options.worker.image_size},
          {"inference", options.worker.inference},
          {"batch", options.worker.batch},
          {"threads", std::thread::hardware_concurrency()}};
}

// The two workers' command lines.
struct Commands {
  std::vector<std::string> ours, theirs;
  bench::Environment their_environment;
};

Commands make_commands(const Options& options, const Device& device, const bench::Rival& rival,
                       const std::string& self) {
  const apps::DeviceOptions& how = options.worker.device;
  Commands commands{{self, "--worker", "--attention", how.attention, "--conv-algo", how.conv_algo},
                    {options.python, SAGITTA_SOURCE_DIR "/bench/peers/train_pytorch.py"},
                    rival.environment};
  const std::vector<std::string> shared = shared_arguments(options, device);
  commands.ours.insert(commands.ours.end(), shared.begin(), shared.end());
  commands.theirs.insert(commands.theirs.end(), shared.begin(), shared.end());
  commands.theirs.insert(commands.theirs.end(), rival.flags.begin(), rival.flags.end());
  return commands;
}

// Ours and theirs in turn: {"sagitta": ..., "pytorch": ..., "ratio": ...} for every round.
Json run_rounds(const Options& options, const Commands& commands) {
  const bool versus = !options.versus.empty();
  Json rounds = Json::array();
  print_header(versus);
  for (int round = 1; round <= options.rounds; ++round) {
    Json entry{{"sagitta", run_process("sagitta", commands.ours, {}, options.idle_wait)}};
    const Figures ours = figures_of(entry["sagitta"]);
    Figures theirs;
    double ratio = 0;
    if (versus) {
      entry["pytorch"] =
          run_process("pytorch", commands.theirs, commands.their_environment, options.idle_wait);
      theirs = figures_of(entry["pytorch"]);
      ratio = ours.images_per_second / theirs.images_per_second;
      entry["ratio"] = ratio;
    }
    print_figures(std::to_string(round), ours, versus ? &theirs : nullptr, ratio);
    rounds.push_back(std::move(entry));
  }
  return rounds;
}

// Medians and shares of the ceilings, printed and added to the document.
void summarize(const Options& options, const Ceilings* ceilings, Json& result) {
  const Json& rounds = result["rounds"];
  const bool versus = !options.versus.empty();
  const Figures ours = medians(rounds, "sagitta"), theirs = versus ? medians(rounds, "pytorch") : Figures{};
  std::vector<double> ratios;
  for (const Json& round : rounds)
    if (versus) ratios.push_back(round.at("ratio"));
  print_figures("median", ours, versus ? &theirs : nullptr, bench::median(ratios));
  result["median"] = {{"sagitta_images_per_second", ours.images_per_second},
                      {"pytorch_images_per_second", theirs.images_per_second},
                      {"ratio", bench::median(ratios)},
                      {"sagitta_peak_mb", ours.peak_mb},
                      {"pytorch_peak_mb", theirs.peak_mb}};
  if (ceilings == nullptr) return;
  const Json& last = rounds.back()["sagitta"];
  fmt::print("sagitta: {:.0f} minor and {:.0f} major page faults per step\n",
             last.value("minor_faults_per_step", 0.0), last.value("major_faults_per_step", 0.0));
  result["ceilings"] = {{"fma_peak_gflops", ceilings->fma_peak * 1e-9},
                        {"vector_instructions", bench::vector_instructions()},
                        {"triad_gb_per_s", ceilings->memory.triad * 1e-9},
                        {"read_gb_per_s", ceilings->memory.read * 1e-9},
                        {"sagitta", compare_with_ceilings("sagitta", ours, *ceilings)}};
  if (versus) result["ceilings"]["pytorch"] = compare_with_ceilings("pytorch", theirs, *ceilings);
}

int compare(Options options, const std::string& self) {
  const bench::Rival rival = choose_rival(options);
  const Device device = apps::choose_device(options.worker.device);
  if (!options.json.empty())
    AtomicFile(options.json);  // throws now, not after the work, if it cannot be written
  Json result = describe_run(options, device);
  if (!options.versus.empty()) result["peer"] = {{"flags", rival.flags}, {"environment", rival.environment}};
  fmt::print("{}, batch {}, {}, {}\n", options.worker.arch, options.worker.batch,
             options.worker.inference ? "inference" : "training", bench::machine_name());
  std::optional<Ceilings> ceilings;
  if (device.kind == Device::Kind::cpu) {
    ceilings = measure_ceilings(options);
    fmt::print("{}: FMA peak {:.0f} GFLOP/s; memory {:.1f} GB/s triad, {:.1f} GB/s read\n",
               bench::vector_instructions(), ceilings->fma_peak * 1e-9, ceilings->memory.triad * 1e-9,
               ceilings->memory.read * 1e-9);
  }
  result["rounds"] = run_rounds(options, make_commands(options, device, rival, self));
  summarize(options, ceilings ? &*ceilings : nullptr, result);
  if (!options.json.empty()) write_text_file(options.json, result.dump(2) + "\n");
  return 0;
}

void add_options(CLI::App& app, Options& options) {
  bench::WorkerOptions& worker = options.worker;
  app.add_option("--arch", worker.arch, "architecture")->capture_default_str();
  app.add_option("--image-size", worker.image_size, "pixels per side (0: the architecture's own)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images per step (0: the rival's of --peer-from, else 16)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--steps", worker.steps, "timed steps per round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--inference", worker.inference, "forward in evaluation mode, without gradients");
  CLI::Option* versus = app.add_option("--vs", options.versus, "run a peer in turn: pytorch")
                            ->check(CLI::IsMember(std::vector<std::string>{"pytorch"}));
  CLI::Option* from = app.add_option("--peer-from", options.peer_from,
                                     "run the peer's fastest configuration in this document of sweep.py")
                          ->needs(versus);
  const auto by_hand = [&](CLI::Option* option) { option->needs(versus)->excludes(from); };
  by_hand(app.add_flag("--compile", options.compile, "the peer compiles its model (torch.compile)"));
  by_hand(
      app.add_option("--peer-flags", options.peer_flags, "further flags of train_pytorch.py, in one word"));
  by_hand(app.add_option("--peer-environment", options.peer_environment,
                         "environment of the peer, in one word: \"LD_PRELOAD=... MALLOC_CONF=...\""));
  app.add_option("--python", options.python, "Python with torch and transformers")->capture_default_str();
  app.add_option("--idle-wait", options.idle_wait,
                 "seconds to wait at most for an idle machine, before each process")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--json", options.json, "write the result to this file");
  apps::add_device_options(app, worker.device);
  app.add_flag("--worker", options.is_worker, "one round in this process, result as JSON");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times whole training steps (forward, loss, backward, SGD) on synthetic images.",
               "bench_train");
  add_options(app, options);
  return apps::run_main(app, argc, argv, [&] {
    if (!options.is_worker) return compare(options, argv[0]);
    options.worker.batch = options.batch > 0 ? options.batch : kDefaultBatch;
    fmt::print("{}\n", bench::run_worker(options.worker).dump());
    return 0;
  });
}
