#include "bench/tile_speed.h"

#include <omp.h>

#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "bench/ceilings.h"
#include "bench/machine.h"
#include "bench/tile_kernel.h"
#include "tensor/backend.h"

namespace sagitta::bench {
namespace {

constexpr std::int64_t kBytesInL1 = 24 << 10;  // of both panels: three quarters of a small L1 cache

struct Work {
  std::function<void()> run;
  double flop;  // a multiply-add of f64 counts as two of f32, whose place in a vector it takes
};

// The same product so often that it takes about as long as the chains, of `flop`.
template <class T>
Work products(const TileKernel<T>& kernel, std::int64_t depth, double flop) {
  const auto matrix = [](std::int64_t rows, std::int64_t columns) {
    return full(cpu_backend(), {rows, columns}, dtype_of<T>, 0.5);
  };
  const Tensor a = matrix(depth, kernel.rows), b = matrix(depth, kernel.columns);
  Tensor c = matrix(kernel.rows, kernel.columns);
  std::vector<T*> rows;
  for (int r = 0; r < kernel.rows; ++r) rows.push_back(c.data<T>() + r * kernel.columns);
  const double once =
      2.0 * kernel.rows * kernel.columns * static_cast<double>(depth) * sizeof(T) / sizeof(float);
  const long times = std::lround(std::ceil(flop / once));
  return {[=] {
            kernel.run({kernel.rows, kernel.columns, depth, a.data<T>(), b.data<T>(), rows.data()}, times);
            static_cast<void>(c);  // lives as long as this
          },
          static_cast<double>(times) * once};
}

template <class T>
std::int64_t depth_in_l1(const TileKernel<T>& kernel) {
  return kBytesInL1 / static_cast<std::int64_t>(sizeof(T)) / (kernel.rows + kernel.columns);
}

double seconds_of(const std::function<void()>& run) {
  const double begin = seconds_now();
  run();
  return seconds_now() - begin;
}

}  // namespace

TileSpeeds tile_speeds(std::string_view isa, double budget) {
  const TileKernels& kernels = tile_kernels(isa);
  const FmaChains chains = fma_chains(kernels.vector_bytes);
  constexpr int kWorks = 4;
  std::vector<std::array<Work, kWorks>> works;  // of each thread
  for (int thread = 0; thread < omp_get_max_threads(); ++thread)
    works.push_back({products(kernels.f32, depth_in_l1(kernels.f32), chains.flop),
                     products(kernels.f32, kernels.longest_depth, chains.flop),
                     products(kernels.f64, depth_in_l1(kernels.f64), chains.flop),
                     products(kernels.f64, kernels.longest_depth, chains.flop)});
  double peak = 0, shares[kWorks] = {};
#pragma omp parallel reduction(+ : peak, shares)
  {
    std::vector<double> peaks, parts[kWorks];
    const double end = seconds_now() + budget;
    do {
      peaks.push_back(chains.flop /
                      seconds_of([&] { [[maybe_unused]] const volatile float needed = chains.run(); }));
      for (int i = 0; i < kWorks; ++i) {
        const Work& work = works[static_cast<std::size_t>(omp_get_thread_num())][i];
        parts[i].push_back(work.flop / seconds_of(work.run) / peaks.back());
      }
    } while (seconds_now() < end);
    peak += median(peaks);
    for (int i = 0; i < kWorks; ++i) shares[i] += median(parts[i]) / omp_get_num_threads();
  }
  return {peak,
          {kernels.f32.rows, kernels.f32.columns, shares[0], shares[1]},
          {kernels.f64.rows, kernels.f64.columns, shares[2], shares[3]}};
}

}  // namespace sagitta::bench
