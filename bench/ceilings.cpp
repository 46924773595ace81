#include "bench/ceilings.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "bench/machine.h"
#include "tensor/error.h"

namespace sagitta::bench {
namespace {

// A ceiling is what the machine can do at most, hence not the median.
template <class Run>
double fastest(double budget, const Run& run) {
  double best = 1e30;
  const double end = seconds_now() + budget;
  do {
    const double begin = seconds_now();
    run();
    best = std::min(best, seconds_now() - begin);
  } while (seconds_now() < end);
  return best;
}

// ---- multiply-adds

// More chains than a processor has multiply-adds in flight (latency times units, 8 to 10), and few enough
// that all sums stay in registers.
constexpr int kChains = 12;
constexpr long kSteps = 200000;

// Read anew for each use, so that the compiler can neither compute a chain in advance nor find two of them
// equal.
volatile float start = 0.5F, factor_value = 0.999F, term_value = 0.001F;

typedef float Vector4 __attribute__((vector_size(16)));
typedef float Vector8 __attribute__((vector_size(32)));
typedef float Vector16 __attribute__((vector_size(64)));

// kSteps links of kChains chains; returns something that depends on all of them. One function for each width,
// since a compiler settles the width of a function's instructions before it inlines it anywhere.
float chains_any() {
  Vector4 sums[kChains], factor = Vector4{} + factor_value, term = Vector4{} + term_value, total = {};
  for (Vector4& sum : sums) sum = Vector4{} + start;
  for (long step = 0; step < kSteps; ++step)
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) sums[chain] = sums[chain] * factor + term;
  for (const Vector4& sum : sums) total += sum;
  return total[0];
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] float chains_avx2() {
  Vector8 sums[kChains], factor = Vector8{} + factor_value, term = Vector8{} + term_value, total = {};
  for (Vector8& sum : sums) sum = Vector8{} + start;
  for (long step = 0; step < kSteps; ++step)
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) sums[chain] = sums[chain] * factor + term;
  for (const Vector8& sum : sums) total += sum;
  return total[0];
}

[[gnu::target("avx512f")]] float chains_avx512() {
  Vector16 sums[kChains], factor = Vector16{} + factor_value, term = Vector16{} + term_value, total = {};
  for (Vector16& sum : sums) sum = Vector16{} + start;
  for (long step = 0; step < kSteps; ++step)
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) sums[chain] = sums[chain] * factor + term;
  for (const Vector16& sum : sums) total += sum;
  return total[0];
}
#endif

int widest_vector_bytes() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return 64;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#endif
  return 16;
}

// ---- memory

constexpr std::int64_t kElements = std::int64_t{64} << 20;  // 256 MB

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};
using Array = std::unique_ptr<float[], Free>;

// On huge pages where the system has them, so that address translation is not what is measured. Each thread
// writes first what it works on later, so that it lies in that processor's memory.
Array make_array() {
  constexpr std::size_t kHugePage = 2 << 20, kBytes = kElements * sizeof(float);
  Array array(static_cast<float*>(std::aligned_alloc(kHugePage, kBytes)));
  require(array != nullptr, "memory bandwidth: no {} MB for an array; close other programs", kBytes >> 20);
  madvise(array.get(), kBytes, MADV_HUGEPAGE);
  float* values = array.get();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < kElements; ++i) values[i] = 1;
  return array;
}

void triad(float* a, const float* b, const float* c) {
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < kElements; ++i) a[i] = b[i] + 0.5F * c[i];
}

float sum(const float* values) {
  constexpr std::int64_t kPartial = 64;  // independent sums hide the latency of an addition
  float total = 0;
#pragma omp parallel for schedule(static) reduction(+ : total)
  for (std::int64_t block = 0; block < kElements / 4096; ++block) {
    float partial[kPartial] = {};
    for (std::int64_t i = block * 4096; i < (block + 1) * 4096; i += kPartial)
      for (std::int64_t j = 0; j < kPartial; ++j) partial[j] += values[i + j];
    for (const float each : partial) total += each;
  }
  return total;
}

}  // namespace

FmaChains fma_chains(int vector_bytes) {
  const double flop = 2.0 * kChains * static_cast<double>(kSteps) * vector_bytes / sizeof(float);
#if defined(__x86_64__)
  if (vector_bytes == 64) return {"AVX-512", flop, chains_avx512};
  if (vector_bytes == 32) return {"AVX2", flop, chains_avx2};
  constexpr const char* kName = "SSE";
#else
  constexpr const char* kName = "128-bit vectors";
#endif
  require(vector_bytes == 16, "fma_chains: vectors are of {} bytes, expected 16, 32 or 64", vector_bytes);
  return {kName, flop, chains_any};
}

const char* vector_instructions() { return fma_chains(widest_vector_bytes()).name; }

double fma_peak(double budget) {
  const FmaChains chains = fma_chains(widest_vector_bytes());
  double all = 0;
  // Each thread by itself: waiting for each other would measure the scheduler wherever a third thread runs.
  // The median, since a thread whose neighbor on the same core pauses is faster than it can be.
#pragma omp parallel reduction(+ : all)
  all += chains.flop /
         median_seconds(budget, [&] { [[maybe_unused]] const volatile float needed = chains.run(); });
  return all;
}

MemoryBandwidth memory_bandwidth(double budget) {
  const Array a = make_array(), b = make_array(), c = make_array();
  const double bytes = static_cast<double>(kElements * sizeof(float));
  const double triad_seconds = fastest(budget / 2, [&] { triad(a.get(), b.get(), c.get()); });
  const double read_seconds =
      fastest(budget / 2, [&] { [[maybe_unused]] const volatile float needed = sum(b.get()); });
  return {.triad = 3 * bytes / triad_seconds, .read = bytes / read_seconds};
}

}  // namespace sagitta::bench
