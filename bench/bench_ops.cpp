// Speed of the CPU backend on the products that training is made of: the convolutions of ResNet-50 at batch 8
// and the linear layers and attention of ViT-B/16 at 384 pixels, forward and both gradients, in GFLOP/s and
// as a share of the FMA peak measured in the same run. The fastest of several repetitions counts. Nothing
// else should run meanwhile.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace {

using namespace sagitta;
using Index = std::int64_t;

struct Result {
  std::string name;
  double gflops;  // GFLOP per second
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The shortest of the runs that fit into `budget` seconds, at least three.
template <class Run>
double fastest(double budget, const Run& run) {
  double best = 1e30;
  const double end = seconds_now() + budget;
  for (int i = 0; i < 3 || seconds_now() < end; ++i) {
    const double begin = seconds_now();
    run();
    best = std::min(best, seconds_now() - begin);
  }
  return best;
}

// GFLOP/s of all threads doing nothing but independent fused multiply-adds in registers.
double fma_peak(double budget) {
#if defined(__AVX512F__)
  constexpr int kLanes = 16;
#else
  constexpr int kLanes = 8;
#endif
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
  constexpr int kChains = 10, kSteps = 400000;
  const double time = fastest(budget, [] {
#pragma omp parallel
    {
      Vector sums[kChains] = {};
      Vector factor = Vector{} + 0.999f, term = Vector{} + 0.001f;
      asm volatile(""
                   : "+x"(factor), "+x"(term));  // hides the values, so that nothing is computed in advance
      for (int step = 0; step < kSteps; ++step)
#pragma GCC unroll 10
        for (int chain = 0; chain < kChains; ++chain) sums[chain] = sums[chain] * factor + term;
      Vector total = {};
      for (const Vector& sum : sums) total += sum;
      asm volatile("" : : "x"(total));
    }
  });
  return 2.0 * kLanes * kChains * kSteps * omp_get_max_threads() / time * 1e-9;
}

Tensor random_tensor(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random::uniform({1, 0, 0}, i) - 0.5f;
  return from_host(cpu_backend(), shape, values);
}

class Bench {
 public:
  explicit Bench(double budget) : budget_(budget), peak_(fma_peak(budget)) {
    fmt::print("{} threads, FMA peak {:.0f} GFLOP/s\n", omp_get_max_threads(), peak_);
  }

  template <class Run>
  void measure(const std::string& name, double flop, const Run& run) {
    const double rate = flop / fastest(budget_, run) * 1e-9;
    fmt::print("{:<46} {:7.1f} GFLOP/s {:4.0f} % of peak\n", name, rate, 100 * rate / peak_);
    results_.push_back({name, rate});
  }

  void write_json(const std::string& file) const {
    nlohmann::ordered_json json;
    json["threads"] = omp_get_max_threads();
    json["fma_peak_gflops"] = peak_;
    for (const Result& result : results_)
      json["results"].push_back({{"name", result.name}, {"gflops", result.gflops}});
    std::ofstream stream(file);
    stream << json.dump(2) << '\n';
    require(stream.good(), "{}: cannot be written; check the folder and its permissions", file);
  }

 private:
  double budget_;
  double peak_;
  std::vector<Result> results_;
};

struct ConvShape {
  int size;  // height and width of the input
  int inputs, outputs, kernel, stride;
};

void bench_conv(Bench& bench, const ConvShape& s) {
  Backend& backend = cpu_backend();
  constexpr int kBatch = 8;
  const Conv2dParams params{s.stride, s.kernel / 2};
  const Index out = params.out(s.size, s.kernel);
  const Tensor x = random_tensor({kBatch, s.size, s.size, s.inputs});
  const Tensor weight = random_tensor({s.outputs, s.kernel, s.kernel, s.inputs});
  const Tensor dy = random_tensor({kBatch, out, out, s.outputs});
  Tensor y = dy.like(), dx = x.like(), dweight = weight.like();
  const double flop = 2.0 * static_cast<double>(dy.numel()) * s.kernel * s.kernel * s.inputs;
  const std::string name =
      fmt::format("conv {0}x{0}/{1} {2}->{3} @{4}", s.kernel, s.stride, s.inputs, s.outputs, s.size);
  bench.measure(name + " forward", flop, [&] { backend.conv2d(params, x, weight, y); });
  if (s.inputs > 3)  // the image needs no gradient
    bench.measure(name + " dx", flop, [&] { backend.conv2d_backward_input(params, weight, dy, {dx}); });
  bench.measure(name + " dweight", flop, [&] { backend.conv2d_backward_weight(params, x, dy, {dweight}); });
}

void bench_linear(Bench& bench, Index rows, Index inputs, Index outputs) {
  Backend& backend = cpu_backend();
  const Tensor x = random_tensor({rows, inputs}), weight = random_tensor({outputs, inputs});
  const Tensor bias = random_tensor({outputs}), dy = random_tensor({rows, outputs});
  Tensor y = dy.like(), pre, dx = x.like(), dweight = weight.like();
  const double flop = 2.0 * static_cast<double>(rows * inputs * outputs);
  const std::string name = fmt::format("linear {}->{}, {} tokens", inputs, outputs, rows);
  bench.measure(name + " forward", flop, [&] { backend.linear({}, x, weight, bias, pre, y); });
  bench.measure(name + " dx", flop, [&] { backend.linear_backward({}, x, weight, {}, dy, {dx}, {}, {}); });
  bench.measure(name + " dweight", flop,
                [&] { backend.linear_backward({}, x, weight, {}, dy, {}, {dweight}, {}); });
}

void bench_attention(Bench& bench, Index batch, Index tokens) {
  Backend& backend = cpu_backend();
  constexpr Index kHeads = 12, kDim = 64;
  const AttentionParams params{.heads = kHeads, .scale = 0.125};
  const Tensor qkv = random_tensor({batch, tokens, 3 * kHeads * kDim}),
               dy = random_tensor({batch, tokens, kHeads * kDim});
  Tensor y = dy.like(), lse(backend, {batch, kHeads, tokens}, DType::f32), dqkv = qkv.like();
  const double product = 2.0 * static_cast<double>(batch * kHeads * tokens * tokens * kDim);
  const std::string name = fmt::format("attention {} x {} tokens, 12 heads of 64", batch, tokens);
  bench.measure(name + " forward", 2 * product, [&] { backend.attention(params, {}, qkv, y, lse); });
  bench.measure(name + " backward", 5 * product,
                [&] { backend.attention_backward(params, {}, qkv, y, lse, dy, {dqkv}); });
}

void run(double budget, const std::string& json) {
  Bench bench(budget);
  for (const ConvShape& shape : std::vector<ConvShape>{{224, 3, 64, 7, 2},
                                                       {56, 64, 64, 1, 1},
                                                       {56, 64, 64, 3, 1},
                                                       {56, 64, 256, 1, 1},
                                                       {56, 256, 64, 1, 1},
                                                       {56, 256, 512, 1, 2},
                                                       {56, 128, 128, 3, 2},
                                                       {28, 128, 128, 3, 1},
                                                       {28, 512, 128, 1, 1},
                                                       {14, 256, 256, 3, 1},
                                                       {14, 1024, 256, 1, 1},
                                                       {7, 512, 512, 3, 1},
                                                       {7, 512, 2048, 1, 1}})
    bench_conv(bench, shape);
  constexpr Index kTokens = 577, kBatch = 4;  // (384 / 16)^2 patches and the class token
  bench_linear(bench, kBatch * kTokens, 768, 2304);
  bench_linear(bench, kBatch * kTokens, 768, 768);
  bench_linear(bench, kBatch * kTokens, 768, 3072);
  bench_linear(bench, kBatch * kTokens, 3072, 768);
  bench_attention(bench, kBatch, kTokens);
  if (!json.empty()) bench.write_json(json);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed of the CPU backend's products, in GFLOP/s and percent of the measured FMA peak");
  double budget = 0.3;
  std::string json;
  app.add_option("--seconds", budget, "time spent on each operation")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--json", json, "also write the results to this file");
  try {
    app.parse(argc, argv);
    run(budget, json);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const sagitta::Error& error) {
    fmt::print(stderr, "bench_ops: {}\n", error.what());
    return 1;
  }
  return 0;
}
