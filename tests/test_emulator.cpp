// The emulated device: threads, barriers, warp operations, launches, schedules.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "device_array.h"

namespace sagitta {
namespace {

using cuda::launch;
using cuda::emulator::Schedule;
using cuda::emulator::set_schedule;
using test::DeviceArray;

constexpr unsigned kAll = ~0U;

// Runs the check under every schedule.
void under_every_schedule(const std::function<void()>& check) {
  for (const Schedule schedule : {Schedule::ascending, Schedule::descending, Schedule::random}) {
    CAPTURE(static_cast<int>(schedule));
    set_schedule(schedule);
    check();
  }
  set_schedule(Schedule::ascending);
}

__global__ void count_visits(unsigned* visits) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  ++visits[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

TEST_CASE("every thread of every block runs once") {
  under_every_schedule([] {
    const dim3 grid(3, 2, 5), block(7, 3, 2);
    const DeviceArray<unsigned> visits(std::vector<unsigned>(30 * 42, 0));
    launch(count_visits, grid, block, 0, nullptr, visits.get());
    const auto counts = visits.values();
    CHECK(std::count(counts.begin(), counts.end(), 1U) == 30 * 42);
  });
}

__global__ void write_parameters(int integer, float real, const float* pointer, float* y) {
  y[0] = static_cast<float>(integer);
  y[1] = real;
  y[2] = *pointer;
}

TEST_CASE("arguments are converted to the parameters' types, and an empty grid runs nothing") {
  const DeviceArray<float> x(std::vector{4.0F}), y(std::vector{0.0F, 0.0F, 0.0F});
  launch(write_parameters, dim3(1, 0), 1, 0, nullptr, 2L, 3.0, x.get(), y.get());
  CHECK(y.values() == std::vector{0.0F, 0.0F, 0.0F});
  launch(write_parameters, 1, 1, 0, nullptr, 2L, 3.0, x.get(), y.get());
  CHECK(y.values() == std::vector{2.0F, 3.0F, 4.0F});
}

// ---- barriers

__global__ void rotate(const int* x, int* y, int times) {
  int* const shared = cuda::dynamic_shared<int>();
  int value = x[threadIdx.x];
  for (int i = 0; i < times; ++i) {
    shared[threadIdx.x] = value;
    __syncthreads();
    value = shared[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
  }
  y[threadIdx.x] = value;
}

TEST_CASE("a barrier separates what is before from what is after") {
  for (const int threads : {1, 5, 32, 77, 1024}) {
    CAPTURE(threads);
    under_every_schedule([&] {
      std::vector<int> values(static_cast<std::size_t>(threads));
      for (int i = 0; i < threads; ++i) values[static_cast<std::size_t>(i)] = i;
      const DeviceArray<int> x(values), y(values.size());
      launch(rotate, 1, static_cast<unsigned>(threads), values.size() * sizeof(int), nullptr, x.get(),
             y.get(), 3);
      std::rotate(values.begin(), values.begin() + 3 % threads, values.end());
      CHECK(y.values() == values);
    });
  }
}

__global__ void count_multiples(int* y) {
  const int i = static_cast<int>(threadIdx.x);
  const int thirds = __syncthreads_count(i % 3 == 0), fifths = __syncthreads_count(i % 5 == 0);
  const int any = __syncthreads_or(i == 90), none = __syncthreads_or(i == 100);
  const int all = __syncthreads_and(i < 100), most = __syncthreads_and(i < 99);
  const int answers[] = {thirds, fifths, any, none, all, most};
  for (int k = 0; k < 6; ++k) y[k * 100 + i] = answers[k];
}

TEST_CASE("barriers that count") {
  under_every_schedule([] {
    const DeviceArray<int> y(600);
    launch(count_multiples, 1, 100, 0, nullptr, y.get());
    const std::array expected{34, 20, 1, 0, 1, 0};
    const auto answers = y.values();
    for (std::size_t i = 0; i < answers.size(); ++i) CHECK(answers[i] == expected[i / 100]);
  });
}

__global__ void sum_twice(const float* x, float* y) {
  const float sum = cuda::block_sum<256>(x[blockIdx.x * 256 + threadIdx.x]);
  const float squares = cuda::block_sum<256>(sum * static_cast<float>(threadIdx.x));
  y[blockIdx.x * 256 + threadIdx.x] = squares;
}

TEST_CASE("block reductions, one after another, give every thread the sum") {
  under_every_schedule([] {
    const DeviceArray<float> x(std::vector<float>(3 * 256, 0.5F)), y(3 * 256);
    launch(sum_twice, 3, 256, 0, nullptr, x.get(), y.get());
    const auto sums = y.values();
    CHECK(std::count(sums.begin(), sums.end(), 128.0F * 32640.0F) == 3 * 256);
  });
}

__global__ void leave_early(int* y, int stay) {
  __shared__ int total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  const int i = static_cast<int>(threadIdx.x);
  if (i >= stay) return;
  atomicAdd(&total, i);
  __syncthreads();
  y[i] = total;
}

TEST_CASE("threads that have returned count as arrived") {
  under_every_schedule([] {
    const DeviceArray<int> y(10);
    launch(leave_early, 1, 100, 0, nullptr, y.get(), 10);
    CHECK(y.values() == std::vector<int>(10, 45));
  });
}

// ---- warps

struct Shuffled {
  int direct, exchanged, down, up;
};

__global__ void shuffle_all(Shuffled* y, int width, int amount) {
  const int value = static_cast<int>(threadIdx.x) + 1000;
  y[threadIdx.x] = {__shfl_sync(kAll, value, amount, width), __shfl_xor_sync(kAll, value, amount, width),
                    __shfl_down_sync(kAll, value, static_cast<unsigned>(amount), width),
                    __shfl_up_sync(kAll, value, static_cast<unsigned>(amount), width)};
}

TEST_CASE("shuffles read the lane that CUDA's definition names") {
  under_every_schedule([] {
    for (const int width : {4, 16, 32})
      for (int amount = 0; amount < width; ++amount) {
        const DeviceArray<Shuffled> y(64);
        launch(shuffle_all, 1, 64, 0, nullptr, y.get(), width, amount);
        const auto results = y.values();
        for (int i = 0; i < 64; ++i) {
          const int begin = i / width * width, own = i + 1000;
          const Shuffled& r = results[static_cast<std::size_t>(i)];
          CHECK(r.direct == begin + amount + 1000);
          CHECK(r.exchanged == (i ^ amount) + 1000);
          CHECK(r.down == (i + amount < begin + width ? own + amount : own));
          CHECK(r.up == (i - amount >= begin ? own - amount : own));
        }
      }
  });
}

__global__ void shuffle_doubles(double* y) {
  y[threadIdx.x] = __shfl_sync(kAll, 1.0 / (1.0 + threadIdx.x), 2);
}

__global__ void vote_all(unsigned* y) {
  const unsigned i = threadIdx.x;
  y[4 * i] = __ballot_sync(kAll, i % 3 == 0);
  y[4 * i + 1] = static_cast<unsigned>(__any_sync(kAll, i == 7));
  y[4 * i + 2] = static_cast<unsigned>(__all_sync(kAll, i < 32));
  // Each half goes its own way.
  if (i % 32 < 16)
    y[4 * i + 3] = __ballot_sync(0x0000FFFF, i % 2 == 0);
  else
    y[4 * i + 3] = __ballot_sync(0xFFFF0000, i % 2 == 1);
}

TEST_CASE("shuffles of eight bytes, and votes, also of half warps that diverge") {
  under_every_schedule([] {
    const DeviceArray<double> doubles(32);
    launch(shuffle_doubles, 1, 32, 0, nullptr, doubles.get());
    CHECK(doubles.values() == std::vector<double>(32, 1.0 / 3.0));
    const DeviceArray<unsigned> y(4 * 48);
    launch(vote_all, 1, 48, 0, nullptr, y.get());
    const auto votes = y.values();
    for (std::size_t i = 0; i < 48; ++i) {
      CHECK(votes[4 * i] == (i < 32 ? 0x49249249U : 0x00002492U));  // 0, 3, .. 30 and 33, 36, .. 45
      CHECK(votes[4 * i + 1] == (i < 32 ? 1U : 0U));
      CHECK(votes[4 * i + 2] == (i < 32 ? 1U : 0U));
      CHECK(votes[4 * i + 3] == (i % 32 < 16 ? 0x00005555U : 0xAAAA0000U));
    }
  });
}

__global__ void read_absent_lanes(float* y) { y[threadIdx.x] = cuda::warp_sum(1.0F); }

TEST_CASE("lanes that do not exist give NaN") {
  const DeviceArray<float> y(20);
  launch(read_absent_lanes, 1, 20, 0, nullptr, y.get());
  for (const float sum : y.values()) CHECK(sum != sum);
}

__global__ void reverse_in_warp(int* y) {
  __shared__ int shared[64];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  y[threadIdx.x] = shared[threadIdx.x ^ 31];
}

TEST_CASE("__syncwarp separates what is before from what is after, within the warp") {
  under_every_schedule([] {
    const DeviceArray<int> y(64);
    launch(reverse_in_warp, 1, 64, 0, nullptr, y.get());
    const auto values = y.values();
    for (int i = 0; i < 64; ++i) CHECK(values[static_cast<std::size_t>(i)] == (i ^ 31));
  });
}

// ---- atomics, memory, launches

__global__ void use_atomics(int* sum, unsigned* largest, unsigned* ticket, unsigned long long* wide) {
  atomicAdd(sum, static_cast<int>(threadIdx.x) - 10);
  atomicMax(largest, threadIdx.x * (blockIdx.x + 1));
  atomicInc(ticket, 9);
  atomicAdd(wide, 1ULL << 40);
}

TEST_CASE("atomic operations across blocks") {
  under_every_schedule([] {
    const DeviceArray<int> sum(std::vector{5});
    const DeviceArray<unsigned> largest(std::vector{0U}), ticket(std::vector{0U});
    const DeviceArray<unsigned long long> wide(std::vector{0ULL});
    launch(use_atomics, 7, 33, 0, nullptr, sum.get(), largest.get(), ticket.get(), wide.get());
    CHECK(sum.values()[0] == 5 + 7 * (528 - 330));
    CHECK(largest.values()[0] == 32 * 7);
    CHECK(ticket.values()[0] == 231 % 10);
    CHECK(wide.values()[0] == 231ULL << 40);
  });
}

__global__ void copy_shared(unsigned char* y, unsigned bytes) {
  auto* const shared = cuda::dynamic_shared<unsigned char>();
  for (unsigned i = 0; i < bytes; ++i) y[blockIdx.x * bytes + i] = std::exchange(shared[i], std::uint8_t{1});
}

TEST_CASE("new memory is NaN: dynamic shared memory for every block, and what cudaMalloc gives") {
  const DeviceArray<unsigned char> y(3 * 100);
  CHECK(y.values() == std::vector<unsigned char>(300, 0xFF));
  CHECK(reinterpret_cast<std::uintptr_t>(y.get()) % 256 == 0);
  launch(copy_shared, 3, 1, 100, nullptr, y.get(), 100U);
  CHECK(y.values() == std::vector<unsigned char>(300, 0xFF));
}

__global__ void nothing() {}

TEST_CASE("launches that a GPU would refuse throw") {
  CHECK_NOTHROW(launch(nothing, 1, 1024, 227 << 10, nullptr));
  CHECK_THROWS_AS(launch(nothing, 1, 1025, 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, 1, dim3(32, 0), 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, 1, dim3(1, 1, 65), 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, dim3(1, 65536), 1, 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, std::int64_t{1} << 32, 1, 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, -1, 1, 0, nullptr), Error);
  CHECK_THROWS_AS(launch(nothing, 1, 1, (227 << 10) + 1, nullptr), Error);
}

// ---- schedules

__global__ void note_order(unsigned* order, unsigned* next) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  order[atomicAdd(next, 1U)] = thread;
  __syncthreads();
  order[atomicAdd(next, 1U)] = thread;
  __syncthreads();
  order[atomicAdd(next, 1U)] = thread;
}

std::vector<unsigned> order_under(Schedule schedule, std::uint32_t seed) {
  set_schedule(schedule, seed);
  const DeviceArray<unsigned> order(3 * 80), next(std::vector{0U});
  launch(note_order, 2, 40, 0, nullptr, order.get(), next.get());
  set_schedule(Schedule::ascending);
  return order.values();
}

TEST_CASE("between two barriers threads run upward, downward or as a seed says") {
  std::vector<unsigned> upward;
  for (unsigned block = 0; block < 2; ++block)
    for (int phase = 0; phase < 3; ++phase)
      for (unsigned i = 0; i < 40; ++i) upward.push_back(40 * block + i);
  CHECK(order_under(Schedule::ascending, 1) == upward);
  CHECK(order_under(Schedule::descending, 1) == std::vector<unsigned>(upward.rbegin(), upward.rend()));
  const auto random = order_under(Schedule::random, 1);
  CHECK(random == order_under(Schedule::random, 1));
  CHECK(random != order_under(Schedule::random, 2));
  CHECK(random != upward);
  for (auto phase = random.begin(); phase != random.end(); phase += 40)
    CHECK(std::set<unsigned>(phase, phase + 40).size() == 40);
}

}  // namespace
}  // namespace sagitta
