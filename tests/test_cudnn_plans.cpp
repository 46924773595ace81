// Every cuDNN graph that training the two models asks for has a plan on an H100, shown on any machine that
// has cuDNN: plans are made for the description of a GPU (h100.json), with the code that makes them for a
// real one. What this cannot show is that a plan computes the right thing.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <memory>

#include "cuda/dnn.h"
#include "cuda/dnn_plan.h"
#include "models/classifier.h"
#include "models/shape_backend.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::cuda;

namespace {

using Pass = ConvolutionProblem::Pass;

constexpr std::int64_t kBatches[] = {1, 32, 256};

// Stands for the driver, whether there is one or not: cuDNN opens "libcuda.so.1", and what is loaded under
// that name already is what it gets.
class DriverStub {
 public:
  DriverStub() : library_(dlopen(SAGITTA_LIBCUDA_STUB, RTLD_NOW | RTLD_GLOBAL)) {
    require(library_ != nullptr, "{}", dlerror());
    last_kernel_ = reinterpret_cast<const char* (*)()>(dlsym(library_, "stub_last_kernel"));
    require(last_kernel_ != nullptr, "{}", dlerror());
  }
  std::string last_kernel() const { return last_kernel_(); }

 private:
  void* library_;
  const char* (*last_kernel_)() = nullptr;
};

const DriverStub& driver() {
  static const DriverStub stub;
  return stub;
}

const PlanTarget& h100() {
  driver();
  static const PlanTarget target =
      PlanTarget::from_description(read_text_file(SAGITTA_SOURCE_DIR "/tests/h100.json"));
  return target;
}

// What a training step of one image asks cuDNN for, in f32; other batches and dtypes follow from it.
class Recorder : public models::ShapeBackend {
 public:
  const std::map<std::string, Problem>& problems() const { return problems_; }

  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor&) override {
    add(ConvolutionProblem{
        .pass = Pass::forward, .params = params, .x = x.shape(), .weight = weight.shape()});
  }
  void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor&,
                             const Target& dx) override {
    if (dx)
      add(ConvolutionProblem{
          .pass = Pass::backward_input, .params = params, .x = dx.dst.shape(), .weight = weight.shape()});
  }
  void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor&,
                              const Target& dweight) override {
    add(ConvolutionProblem{
        .pass = Pass::backward_weight, .params = params, .x = x.shape(), .weight = dweight.dst.shape()});
  }
  void attention(const AttentionParams& params, const Tensor&, const Tensor& qkv, Tensor&, Tensor&) override {
    add(attention_problem(params, qkv, false, true));
  }
  void attention_backward(const AttentionParams& params, const Tensor&, const Tensor& qkv, const Tensor&,
                          const Tensor&, const Tensor&, const Target&) override {
    for (const bool deterministic : {false, true}) add(attention_problem(params, qkv, true, deterministic));
  }

 private:
  static AttentionProblem attention_problem(const AttentionParams& params, const Tensor& qkv, bool backward,
                                            bool deterministic) {
    return {.backward = backward,
            .deterministic = deterministic,
            .dtype = DType::f32,
            .batch = qkv.shape()[0],
            .tokens = qkv.shape()[1],
            .heads = params.heads,
            .head_dim = qkv.shape()[2] / (3 * params.heads)};
  }
  void add(const Problem& problem) {
    const auto* attention = std::get_if<AttentionProblem>(&problem);
    problems_.emplace(key_of(problem) + (attention && attention->deterministic ? " deterministic" : ""),
                      problem);
  }

  std::map<std::string, Problem> problems_;
};

std::map<std::string, Problem> problems_of_training(const std::string& model_name) {
  Recorder backend;
  nn::Context context(backend);
  const auto model = models::make_classifier(models::config_for(model_name), context);
  const std::int64_t size = model->config().image_size;
  const Tensor pixels(backend, {1, size, size, 3}, DType::f32);
  autograd::backward(model->logits(autograd::Variable(pixels)));
  return backend.problems();
}

// The problem for another batch and dtype, with the channels padded as the backend pads them.
Problem adapted(Problem problem, std::int64_t batch, DType dtype) {
  if (auto* attention = std::get_if<AttentionProblem>(&problem)) {
    attention->batch = batch;
    attention->dtype = dtype;
  } else {
    auto& convolution = std::get<ConvolutionProblem>(problem);
    const ConvolutionShapes padded =
        padded_shapes(dtype, {convolution.x, convolution.weight, convolution.y()});
    CHECK(padded.y == convolution.y());
    convolution.dtype = dtype;
    convolution.x = padded.x.with(0, batch);
    convolution.weight = padded.weight;
  }
  return problem;
}

struct Tally {
  int plans = 0, compiled = 0, on_tensor_cores = 0;
};

void check_plan(const Problem& problem, const EngineRules& rules, Tally& tally) {
  const std::string key = key_of(problem) + rules.key();
  CAPTURE(key);
  const std::vector<Plan> plans =
      make_plans(std::make_shared<const FinishedGraph>(problem, h100()), rules, 1);
  REQUIRE(plans.size() == 1);
  const Plan& plan = plans.front();
  const bool compiled = plan.choice().compiled_at_run_time();
  fmt::print("{:<118} engine {:<28} workspace {:>10}  {}\n", key, plan.choice().text(),
             plan.workspace_bytes(), compiled ? driver().last_kernel() : "precompiled");
  ++tally.plans;
  tally.compiled += compiled;
  tally.on_tensor_cores += plan.choice().uses_tensor_cores();
}

Tally check_model(const std::string& model_name, const std::vector<DType>& dtypes, bool attention) {
  Tally tally;
  for (const auto& [key, problem] : problems_of_training(model_name)) {
    const auto* of_attention = std::get_if<AttentionProblem>(&problem);
    if (attention != (of_attention != nullptr)) continue;
    for (const DType dtype : dtypes)
      for (const std::int64_t batch : kBatches)
        check_plan(adapted(problem, batch, dtype),
                   {.tensor_cores = true, .deterministic = !of_attention || of_attention->deterministic},
                   tally);
  }
  fmt::print("{}: {} plans, {} compiled at run time, {} on tensor cores\n", model_name, tally.plans,
             tally.compiled, tally.on_tensor_cores);
  return tally;
}

}  // namespace

TEST_CASE("the convolutions of ResNet-50 at 224 pixels have plans in 16 bits, all on tensor cores") {
  const Tally tally = check_model("resnet-50", {DType::bf16, DType::f16}, false);
  CHECK(tally.plans > 0);
  CHECK(tally.on_tensor_cores == tally.plans);
}

TEST_CASE("the patch embedding of ViT-B/16 at 384 pixels has plans in 16 bits") {
  CHECK(check_model("vit-base-patch16-384", {DType::bf16, DType::f16}, false).plans == 2 * 2 * 3);
}

TEST_CASE("the attention of ViT-B/16 at 384 pixels has plans: forward, backward, deterministic backward") {
  CHECK(check_model("vit-base-patch16-384", {DType::bf16, DType::f16}, true).plans == 3 * 2 * 3);
}

TEST_CASE("the convolutions of ResNet-50 have plans in f32, with tensor cores and without") {
  Tally tf32, f32;
  for (const auto& [key, problem] : problems_of_training("resnet-50")) {
    check_plan(adapted(problem, 32, DType::f32), {.tensor_cores = true, .deterministic = true}, tf32);
    check_plan(adapted(problem, 32, DType::f32), {.tensor_cores = false, .deterministic = true}, f32);
  }
  CHECK(tf32.on_tensor_cores > f32.plans / 2);
  CHECK(f32.on_tensor_cores == 0);
}

TEST_CASE("odd channel counts and sizes have plans without padding") {
  Tally tally;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight})
      for (const std::int64_t channels : {1, 3, 5, 12})
        check_plan(ConvolutionProblem{.pass = pass,
                                      .params = {.stride = 2, .padding = 1},
                                      .dtype = dtype,
                                      .x = {2, 9, 7, channels},
                                      .weight = {channels + 2, 3, 3, channels}},
                   {.tensor_cores = dtype != DType::f32}, tally);
  CHECK(tally.plans == 3 * 3 * 4);
}

TEST_CASE("attention has plans for any number of tokens and the head sizes that are let through") {
  Tally tally;
  for (const std::int64_t tokens : {1, 5, 197, 576})
    for (const std::int64_t head_dim : {8, 64, 128}) {
      AttentionProblem problem{.batch = 2, .tokens = tokens, .heads = 3, .head_dim = head_dim};
      check_plan(problem, {}, tally);
      problem.backward = true;
      check_plan(problem, {}, tally);
    }
}

TEST_CASE("every suggested choice survives as text") {
  for (auto [key, problem] : problems_of_training("resnet-50")) {
    CAPTURE(key);
    const FinishedGraph graph(adapted(problem, 32, DType::f16), h100());
    const std::vector<EngineChoice> choices = suggest(graph, {.deterministic = false});
    REQUIRE(!choices.empty());
    for (const EngineChoice& choice : choices)
      CHECK(EngineChoice::from_text(graph, choice.text()).text() == choice.text());
  }
}

TEST_CASE("a plan is made from a choice in text, and damaged text is refused") {
  const ConvolutionProblem problem{.dtype = DType::bf16, .x = {32, 56, 56, 64}, .weight = {64, 3, 3, 64}};
  const auto graph = std::make_shared<const FinishedGraph>(problem, h100());
  const std::vector<Plan> plans = make_plans(graph, {}, 12);
  REQUIRE(plans.size() > 2);
  for (const Plan& plan : plans) {
    const auto again = make_plan(graph, EngineChoice::from_text(*graph, plan.choice().text()));
    REQUIRE(again);
    CHECK(again->workspace_bytes() == plan.workspace_bytes());
  }
  for (const char* text :
       {"", "x", "62 2", "62 2=", "62 2=0 13:1", "62 2=0 x", "99999", "-1", "62 2=99999", "62 999=1"})
    CHECK_THROWS_AS(EngineChoice::from_text(*graph, text), Error);
}

TEST_CASE("the rules leave out engines that give other bits each time, and those that round f32") {
  const ConvolutionProblem backward{
      .pass = Pass::backward_weight, .x = {32, 56, 56, 64}, .weight = {64, 3, 3, 64}};
  const FinishedGraph graph(backward, h100());
  const std::size_t all = suggest(graph, {.deterministic = false}).size();
  const std::size_t deterministic = suggest(graph, {.deterministic = true}).size();
  const std::vector<EngineChoice> exact = suggest(graph, {.tensor_cores = false, .deterministic = true});
  CHECK(deterministic < all);
  CHECK(exact.size() < deterministic);
  CHECK(!exact.empty());
  for (const EngineChoice& choice : exact) CHECK(!choice.uses_tensor_cores());
}

TEST_CASE("a graph that makes no sense is an error that says what and where") {
  const ConvolutionProblem mismatched{.dtype = DType::f16, .x = {1, 8, 8, 16}, .weight = {8, 3, 3, 24}};
  CHECK_THROWS_WITH_AS(FinishedGraph(mismatched, h100()), doctest::Contains("dnn_graph.cpp"), Error);
  CHECK_THROWS_WITH_AS(FinishedGraph(mismatched, h100()), doctest::Contains("CUDNN_STATUS_BAD_PARAM"), Error);
}
