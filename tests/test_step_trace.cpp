// The trace of training steps: a file that viewers can read, with every op in its lane, and nothing between.
#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/observe/step_trace.h"
#include "models/shape_backend.h"
#include "observed_training.h"
#include "temp_folder.h"

using namespace sagitta;
using namespace sagitta::test;
using apps::StepTrace;
using Json = nlohmann::json;
using testing::TempFolder;

namespace {

// A trace file as a viewer sees it.
struct ReadTrace {
  explicit ReadTrace(const std::filesystem::path& file) : json(Json::parse(testing::read_bytes(file))) {
    for (const Json& event : json["traceEvents"]) {
      if (event["ph"] == "M" && event["name"] == "thread_name")
        lane_names[event["tid"]] = event["args"]["name"];
      if (event["ph"] == "X") spans.push_back(event);
      if (event["ph"] == "C") counters.push_back(event);
    }
  }
  std::string lane_of(const Json& span) const { return lane_names.at(span["tid"]); }
  // The op's method, or nothing for a phase.
  static std::string method_of(const Json& span) {
    const std::string name = span["name"];
    return span.contains("args") ? name.substr(0, name.find(' ')) : std::string();
  }

  Json json;
  std::map<int, std::string> lane_names;
  std::vector<Json> spans, counters;
};

// Complete events of one lane must lie within each other or apart, or viewers show nonsense.
void check_nesting(const ReadTrace& trace) {
  constexpr double kRounding = 1e-3;  // a nanosecond, in microseconds
  std::map<int, std::vector<std::pair<double, double>>> lanes;
  for (const Json& span : trace.spans) {
    const double begin = span["ts"], duration = span["dur"];
    CHECK(begin >= 0);
    CHECK(duration >= 0);
    lanes[span["tid"]].emplace_back(begin, begin + duration);
  }
  for (auto& [lane, spans] : lanes) {
    CAPTURE(trace.lane_names.at(lane));
    std::sort(spans.begin(), spans.end(), [](const auto& a, const auto& b) {
      return a.first < b.first || (a.first == b.first && a.second > b.second);
    });
    std::vector<double> open;
    for (const auto& [begin, end] : spans) {
      while (!open.empty() && open.back() <= begin + kRounding) open.pop_back();
      if (!open.empty()) CHECK(end <= open.back() + kRounding);
      open.push_back(end);
    }
  }
}

const Json* span_named(const ReadTrace& trace, const std::string& name) {
  for (const Json& span : trace.spans)
    if (span["name"] == name) return &span;
  return nullptr;
}

}  // namespace

TEST_CASE("a traced step holds every op once, in order, in the lane of its phase") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    const TempFolder folder;
    ObservedTraining observed(training_case, cpu_backend());
    StepTrace trace(observed.backend, observed.names, observed.phases, {.first_step = 1, .steps = 2});
    observed.run_step(0);
    CHECK_FALSE(observed.backend.is_observed());
    std::vector<std::string> called;
    {
      const MethodLog log(observed.backend);
      observed.run_step(1);
      CHECK_FALSE(trace.is_complete());
      observed.run_step(2);
      called = log.methods;
    }
    CHECK(trace.is_complete());
    observed.run_step(3);
    trace.write(folder / "trace.json");

    const ReadTrace read(folder / "trace.json");
    check_nesting(read);
    std::vector<std::string> traced;
    std::map<std::string, int> phases;
    double ops = 0, steps = 0, within_forward = 0, forward = 0;
    for (const Json& span : read.spans) {
      const std::string method = ReadTrace::method_of(span), lane = read.lane_of(span);
      const double duration = span["dur"];
      if (method.empty()) {
        ++phases[span["name"]];
        if (lane == "step") steps += duration;
        if (lane == "forward") forward += duration;
        continue;
      }
      traced.push_back(method);
      ops += duration;
      if (lane == "forward") within_forward += duration;
      CAPTURE(method);
      CHECK((lane == "upload") == (method == "write"));
      CHECK((lane == "update") == (method == "squared_norm" || method == "sgd" || method == "adam"));
      if (method.find("backward") != std::string::npos) CHECK(lane == "backward");
    }
    CHECK(traced == called);
    CHECK(called.size() > 100);
    CHECK(phases ==
          std::map<std::string, int>{
              {"step 1", 1}, {"step 2", 1}, {"upload", 2}, {"forward", 2}, {"backward", 2}, {"update", 2}});
    CHECK(ops <= steps);
    CHECK(within_forward <= forward);
    CHECK(ops > 0.2 * steps);
    CHECK(read.counters.size() == called.size());
    for (const Json& counter : read.counters) CHECK(counter["args"]["MB"] > 0);
  }
}

TEST_CASE("spans name the layer, shapes, dtype and bytes of an op") {
  const TempFolder folder;
  ObservedTraining observed(resnet18(), cpu_backend());
  StepTrace trace(observed.backend, observed.names, observed.phases, {.process = "test"});
  observed.run_step(0);
  trace.write(folder / "trace.json");
  const ReadTrace read(folder / "trace.json");
  const std::string layer = "resnet.encoder.stages.2.layers.0.layer.1.convolution";
  for (const char* method : {"conv2d", "conv2d_backward_input", "conv2d_backward_weight"}) {
    CAPTURE(method);
    const Json* span = span_named(read, method + (" " + layer));
    REQUIRE(span != nullptr);
    CHECK((*span)["args"]["layer"] == layer);
    CHECK((*span)["args"]["dtype"] == "f32");
  }
  const Json args = (*span_named(read, "conv2d " + layer))["args"];
  CHECK(args["x"] == "f32 [4, 4, 4, 256]");
  CHECK(args["weight"] == "f32 [256, 3, 3, 256]");
  CHECK(args["y"] == "f32 [4, 4, 4, 256], written");
  CHECK(args["bytes moved"] == 4 * (2 * 16384 + 589824));
  // Ops without parameters name the last layer before them, in their own phase.
  const Json* pool = span_named(read, "max_pool");
  REQUIRE(pool != nullptr);
  CHECK((*pool)["args"]["after layer"] == "resnet.embedder.embedder.normalization");
  const Json* norm = span_named(read, "squared_norm");
  REQUIRE(norm != nullptr);
  CHECK_FALSE((*norm)["args"].contains("layer"));
  CHECK_FALSE((*norm)["args"].contains("after layer"));
  CHECK(read.json["otherData"]["device"] == "cpu");
}

TEST_CASE("a ViT's ops find their layers, also where blocks are computed again in backward") {
  ObservedBackend backend(cpu_backend());
  nn::Context context(backend);
  for (const bool recompute : {false, true}) {
    CAPTURE(recompute);
    const auto model = models::make_classifier(vit_tiny().config, context, {.recompute = recompute});
    nn::initialize(*model, 1);
    const apps::LayerNames names(*model);
    struct Layers final : BackendObserver {
      explicit Layers(const apps::LayerNames& names) : names(names) {}
      void after(const BackendCall& call) override {
        ++count[std::string(names.layer_of(call))][std::string(call.method)];
      }
      const apps::LayerNames& names;
      std::map<std::string, std::map<std::string, int>> count;
    } layers(names);
    backend.attach(layers);
    const Tensor pixels = full(backend, {2, 64, 64, 3}, DType::f32, 0.5);
    autograd::backward(model->logits(autograd::Variable(pixels)));
    backend.detach(layers);
    const int forwards = recompute ? 2 : 1;
    for (int i = 0; i < 4; ++i) {
      const std::string layer = fmt::format("vit.encoder.layer.{}.", i);
      for (const char* linear :
           {"attention.attention.qkv", "attention.output.dense", "intermediate.dense", "output.dense"}) {
        CAPTURE(layer + linear);
        CHECK(layers.count[layer + linear]["linear"] == forwards);
        CHECK(layers.count[layer + linear]["linear_backward"] == 1);
      }
      CHECK(layers.count[layer + "layernorm_after"]["add_layer_norm"] == forwards);
      CHECK(layers.count[layer + "layernorm_after"]["layer_norm_backward"] == 1);
    }
    CHECK(layers.count["vit.embeddings"]["prepend_token"] == 1);
    CHECK(layers.count["vit.embeddings"]["prepend_token_backward"] == 1);
    CHECK(layers.count["vit.embeddings.patch_embeddings.projection"]["conv2d_backward_weight"] == 1);
    CHECK(layers.count["vit.embeddings.patch_embeddings.projection"]["sum_rows"] == 1);
    CHECK(layers.count["classifier"]["linear_backward"] == 1);
  }
}

TEST_CASE("spans of other threads have lanes of their own; outside of traced steps they are dropped") {
  const TempFolder folder;
  ObservedTraining observed(vit_tiny(), cpu_backend());
  StepTrace trace(observed.backend, observed.names, observed.phases, {});
  const auto now = [] { return StepTrace::Clock::now(); };
  trace.add_span("loader 0", "too early", now(), now());
  {
    const auto step = observed.phases.step(0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        for (int batch = 0; batch < 10; ++batch) {
          const auto begin = now();
          trace.add_span(fmt::format("loader {}", i), fmt::format("batch {}", batch), begin, now());
        }
      });
    for (std::thread& thread : threads) thread.join();
  }
  trace.add_span("loader 0", "too late", now(), now());
  trace.write(folder / "trace.json");
  const ReadTrace read(folder / "trace.json");
  check_nesting(read);
  std::map<std::string, int> lanes;
  for (const Json& span : read.spans) ++lanes[read.lane_of(span)];
  CHECK(lanes == std::map<std::string, int>{{"loader 0", 10}, {"loader 1", 10}, {"step", 1}});
}

TEST_CASE("a step that fails leaves a trace up to the op that failed") {
  const TempFolder folder;
  ObservedTraining observed(vit_tiny(), cpu_backend());
  StepTrace trace(observed.backend, observed.names, observed.phases, {});
  struct Stop final : BackendObserver {
    void before(const BackendCall& call) override { require(call.method != "attention", "stop"); }
  } stop;
  observed.backend.attach(stop);
  CHECK_THROWS_WITH_AS(observed.run_step(0), "stop", Error);
  observed.backend.detach(stop);
  CHECK_FALSE(observed.backend.is_observed());
  trace.write(folder / "trace.json");
  const ReadTrace read(folder / "trace.json");
  check_nesting(read);
  CHECK(span_named(read, "linear vit.encoder.layer.0.attention.attention.qkv") != nullptr);
  CHECK(span_named(read, "step 0") != nullptr);
  CHECK_THROWS_WITH_AS(trace.write(folder / "missing/trace.json"), doctest::Contains("missing"), Error);
}

TEST_CASE("on a GPU the trace waits for each op, and the file says so") {
  struct Gpu final : models::ShapeBackend {
    Device device() const override { return {Device::Kind::cuda, 0}; }
    void synchronize() override { ++waits; }
    int waits = 0;
  } gpu;
  const TempFolder folder;
  ObservedBackend backend(gpu);
  const nn::Module model;
  const apps::LayerNames names(model);
  apps::StepPhases phases;
  StepTrace trace(backend, names, phases, {});
  Tensor x(backend, {4}, DType::f32);
  backend.fill(x, 1);
  CHECK(gpu.waits == 0);
  {
    const auto step = phases.step(0);
    CHECK(gpu.waits == 1);  // for what was enqueued before
    backend.fill(x, 1);
    CHECK(gpu.waits == 2);
    backend.scale(x, 2, {x});
    CHECK(gpu.waits == 3);
  }
  backend.fill(x, 1);
  CHECK(gpu.waits == 3);
  trace.write(folder / "trace.json");
  const ReadTrace read(folder / "trace.json");
  CHECK(read.json["otherData"]["device"] == "cuda:0");
  CHECK(read.json["otherData"]["durations"].get<std::string>().find("waits for each op") !=
        std::string::npos);
  for (const Json& span : read.spans) CHECK(read.lane_of(span) == "step");
}
