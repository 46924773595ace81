// How Dnn calls cuDNN: which memory a plan is run on, that plans are timed once and kept, and what is
// refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "cuda/dnn.h"
#include "cuda/dnn_problem.h"
#include "cuda/plan_cache.h"
#include "played_gpu.h"
#include "temp_folder.h"
#include "tensor/backend.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::cuda;
using sagitta::test::played_gpu;
using sagitta::test::PlayedGpu;
using sagitta::testing::read_bytes;
using sagitta::testing::TempFolder;
using sagitta::testing::write_bytes;

namespace {

struct Convolution {
  Conv2dParams params{.stride = 2, .padding = 1};
  Tensor x{cpu_backend(), {4, 16, 16, 64}, DType::f16};
  Tensor weight{cpu_backend(), {32, 3, 3, 64}, DType::f16};
  Tensor y{cpu_backend(), {4, 8, 8, 32}, DType::f16};
  void run(Dnn& dnn) { dnn.convolution(params, x, weight, y); }
};

// A new process, as far as Dnn can tell.
void restart() { played_gpu() = PlayedGpu(); }

std::filesystem::path cache_file(const TempFolder& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) return entry.path();
  return {};
}

}  // namespace

TEST_CASE("dnn: a new problem is timed on memory of its own, then the fastest plan writes the destination") {
  restart();
  played_gpu().fast_plan = 3;
  Dnn dnn(nullptr, {});
  Convolution convolution;
  convolution.run(dnn);
  const auto& executions = played_gpu().executions;
  REQUIRE(executions.size() > 20);
  REQUIRE(played_gpu().plans.size() > 4);
  for (std::size_t i = 0; i < executions.size(); ++i) {
    CHECK(executions[i].binding.at(ConvolutionProblem::kX) == convolution.x.raw());
    CHECK(executions[i].binding.at(ConvolutionProblem::kWeight) == convolution.weight.raw());
    const bool writes = executions[i].binding.at(ConvolutionProblem::kY) == convolution.y.raw();
    CHECK(writes == (i + 1 == executions.size()));
  }
  CHECK(executions.back().plan == 3);

  const std::size_t before = executions.size();
  convolution.run(dnn);
  CHECK(executions.size() == before + 1);
  CHECK(executions.back().plan == 3);
}

TEST_CASE("dnn: the first guess is taken at once where algorithms are not timed") {
  restart();
  played_gpu().fast_plan = 3;
  Dnn dnn(nullptr, {.time_algorithms = false});
  Convolution convolution;
  convolution.run(dnn);
  convolution.run(dnn);
  REQUIRE(played_gpu().executions.size() == 2);
  CHECK(played_gpu().plans.size() == 1);
  for (const PlayedGpu::Execution& execution : played_gpu().executions)
    CHECK(execution.binding.at(ConvolutionProblem::kY) == convolution.y.raw());
}

TEST_CASE("dnn: gradients are bound to the places of what they belong to") {
  restart();
  Dnn dnn(nullptr, {});
  Convolution convolution;
  Tensor dx = convolution.x.like(), dweight = convolution.weight.like();
  const Tensor dy = convolution.y.like();
  dnn.convolution_backward_input(convolution.params, convolution.weight, dy, dx);
  CHECK(played_gpu().executions.back().binding ==
        std::map<std::int64_t, void*>{{ConvolutionProblem::kX, dx.raw()},
                                      {ConvolutionProblem::kWeight, convolution.weight.raw()},
                                      {ConvolutionProblem::kY, dy.raw()}});
  dnn.convolution_backward_weight(convolution.params, convolution.x, dy, dweight);
  CHECK(played_gpu().executions.back().binding ==
        std::map<std::int64_t, void*>{{ConvolutionProblem::kX, convolution.x.raw()},
                                      {ConvolutionProblem::kWeight, dweight.raw()},
                                      {ConvolutionProblem::kY, dy.raw()}});
  for (const PlayedGpu::Execution& execution : played_gpu().executions)
    CHECK(execution.binding.at(ConvolutionProblem::kY) == dy.raw());
}

TEST_CASE("dnn: attention binds the parts of the packed projections and every tensor of its graph") {
  restart();
  using Uid = AttentionProblem::Uid;
  const AttentionParams params{.heads = 2, .scale = 0.125};
  const std::int64_t width = 2 * 64;
  const Tensor qkv(cpu_backend(), {3, 7, 3 * width}, DType::bf16),
      dy(cpu_backend(), {3, 7, width}, DType::bf16);
  Tensor y = dy.like(), lse(cpu_backend(), {3, 2, 7}, DType::f32), dqkv = qkv.like();
  for (const bool deterministic : {true, false}) {
    CAPTURE(deterministic);
    Dnn dnn(nullptr, {.deterministic = deterministic});
    REQUIRE(dnn.supports_attention(params, qkv));
    dnn.attention(params, qkv, y, lse);
    auto binding = played_gpu().executions.back().binding;
    CHECK(binding.size() == 6);
    CHECK(binding[Uid::kQ] == qkv.raw());
    CHECK(binding[Uid::kK] == qkv.raw() + 2 * width);
    CHECK(binding[Uid::kV] == qkv.raw() + 2 * 2 * width);
    CHECK(binding[Uid::kO] == y.raw());
    CHECK(binding[Uid::kLse] == lse.raw());

    const std::size_t first = played_gpu().executions.size();
    dnn.attention_backward(params, qkv, y, lse, dy, dqkv);
    binding = played_gpu().executions.back().binding;
    CHECK(binding.size() == (deterministic ? 12 : 13));
    CHECK(binding[Uid::kDo] == dy.raw());
    CHECK(binding[Uid::kDq] == dqkv.raw());
    CHECK(binding[Uid::kDk] == dqkv.raw() + 2 * width);
    CHECK(binding[Uid::kDv] == dqkv.raw() + 2 * 2 * width);
    std::set<void*> distinct;
    for (const auto& [uid, memory] : binding) distinct.insert(memory);
    CHECK(distinct.size() == binding.size());
    // The rehearsals write elsewhere, but to the parts of one tensor too.
    auto rehearsal = played_gpu().executions[first].binding;
    CHECK(rehearsal[Uid::kDq] != dqkv.raw());
    CHECK(static_cast<std::byte*>(rehearsal[Uid::kDv]) ==
          static_cast<std::byte*>(rehearsal[Uid::kDq]) + 4 * width);
    CHECK(rehearsal[Uid::kK] == qkv.raw() + 2 * width);
  }
}

TEST_CASE("dnn: which attention is supported") {
  const Tensor good(cpu_backend(), {1, 5, 3 * 2 * 64}, DType::f16);
  CHECK(dnn_has_attention({.heads = 2}, good));
  CHECK(dnn_has_attention({.heads = 16}, good));
  CHECK(!dnn_has_attention({.heads = 32}, good));  // heads of 4
  CHECK(!dnn_has_attention({.heads = 2, .dropout = 0.1}, good));
  CHECK(!dnn_has_attention({.heads = 2}, Tensor(cpu_backend(), good.shape(), DType::f32)));
  CHECK(!dnn_has_attention({.heads = 1}, Tensor(cpu_backend(), {1, 5, 3 * 136}, DType::f16)));
}

TEST_CASE("dnn: a later process takes the choice from the cache, unless that is damaged") {
  const TempFolder folder;
  const DnnOptions options{.plan_cache = folder.path()};
  Convolution convolution;
  const auto run_in_new_process = [&](std::size_t fast_plan) {
    restart();
    played_gpu().fast_plan = fast_plan;
    Dnn dnn(nullptr, options);
    convolution.run(dnn);
    return played_gpu().executions.size();
  };
  CHECK(run_in_new_process(2) > 20);
  const std::string file = read_bytes(cache_file(folder));
  CHECK(run_in_new_process(0) == 1);
  CHECK(played_gpu().executions.back().binding.at(ConvolutionProblem::kY) == convolution.y.raw());

  const std::size_t choice = file.find('\t') + 1;
  for (const std::string damaged : {"", "x", "99999", "47 2=99999"}) {
    CAPTURE(damaged);
    write_bytes(cache_file(folder), file.substr(0, choice) + damaged + "\n");
    CHECK(run_in_new_process(2) > 20);
    CHECK(read_bytes(cache_file(folder)) == file);
  }
}

TEST_CASE("dnn: the choice depends on the options") {
  const TempFolder folder;
  restart();
  Convolution convolution;
  Tensor x(cpu_backend(), convolution.x.shape(), DType::f32),
      y(cpu_backend(), convolution.y.shape(), DType::f32);
  Tensor weight(cpu_backend(), convolution.weight.shape(), DType::f32);
  std::set<std::string> keys;
  for (const bool tf32 : {false, true})
    for (const bool deterministic : {false, true}) {
      Dnn(nullptr, {.tf32 = tf32, .deterministic = deterministic, .plan_cache = folder.path()})
          .convolution(convolution.params, x, weight, y);
    }
  const std::string file = read_bytes(cache_file(folder));
  CHECK(std::count(file.begin(), file.end(), '\n') == 1 + 4);
}

TEST_CASE("dnn: during a capture only what is known runs") {
  restart();
  Dnn dnn(nullptr, {});
  Convolution convolution;
  played_gpu().capturing = true;
  CHECK_THROWS_WITH_AS(convolution.run(dnn), doctest::Contains("convolution f16 x [4, 16, 16, 64]"), Error);
  CHECK_THROWS_WITH_AS(convolution.run(dnn), doctest::Contains("captured step"), Error);
  CHECK(played_gpu().executions.empty());
  played_gpu().capturing = false;
  convolution.run(dnn);
  played_gpu().capturing = true;
  convolution.run(dnn);
}

TEST_CASE("dnn: what cuDNN cannot do, and unaligned memory, are errors that name the call") {
  restart();
  Dnn dnn(nullptr, {});
  const AttentionParams params{.heads = 1};
  const Tensor qkv(cpu_backend(), {1, 5, 3 * 64}, DType::f32);
  Tensor y(cpu_backend(), {1, 5, 64}, DType::f32), lse(cpu_backend(), {1, 1, 5}, DType::f32);
  CHECK_THROWS_WITH_AS(dnn.attention(params, qkv, y, lse),
                       doctest::Contains("attention f32 batch 1 tokens 5"), Error);

  Convolution convolution;
  convolution.x = Tensor(cpu_backend(), {4 * 16 * 16 * 64 + 1}, DType::f16)
                      .slice(1, 4 * 16 * 16 * 64 + 1)
                      .reshape(convolution.x.shape());
  CHECK_THROWS_WITH_AS(convolution.run(dnn), doctest::Contains("not aligned to 16 bytes"), Error);
}
