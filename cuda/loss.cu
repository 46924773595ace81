// Losses with their gradients by the logits, in one sweep and in f32: a batch of logits is tiny, so what
// counts is the number of launches. One block does small batches in one launch; else every block leaves its
// part of the mean, and a second kernel adds the parts in a fixed order.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "cuda/target.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBlocks = 128;  // at most
// Elements of logits per block that are better served by one launch than by several blocks.
constexpr std::int64_t kSmall = 8192;

// A warp per row, then a grid further; the lanes share out the classes and read the row three times, from the
// L1 cache after the first. Every block counts the labels itself, which saves a launch. part[block] = the
// block's share of the mean loss.
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(float smoothing, std::int64_t ignore_index, const float* logits,
                         const std::int64_t* labels, std::int64_t rows, std::int64_t classes, float* part,
                         float* dlogits) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  float counted = 0;  // exact up to 2^24 rows
  for (std::int64_t i = threadIdx.x; i < rows; i += kThreads)
    counted += labels[i] == ignore_index ? 0.0F : 1.0F;
  counted = block_sum<kThreads>(counted);
  const float even = smoothing / static_cast<float>(classes);  // the part every class gets

  float loss = 0;
  for (std::int64_t b = std::int64_t{blockIdx.x} * kWarps + warp; b < rows;
       b += std::int64_t{gridDim.x} * kWarps) {
    const float* row = logits + b * classes;
    float* gradient = dlogits + b * classes;
    const std::int64_t label = labels[b];
    if (label == ignore_index) {
      for (std::int64_t k = lane; k < classes; k += kWarp) gradient[k] = 0;
      continue;
    }
    float top = -INFINITY;
    for (std::int64_t k = lane; k < classes; k += kWarp) top = fmaxf(top, row[k]);
    top = warp_max(top);
    float sum = 0;
    for (std::int64_t k = lane; k < classes; k += kWarp) sum += expf(row[k] - top);
    const float log_sum = logf(warp_sum(sum));
    for (std::int64_t k = lane; k < classes; k += kWarp) {
      const float log_p = row[k] - top - log_sum;
      const float target = even + (k == label ? 1.0F - smoothing : 0.0F);
      if (target != 0) loss -= target * log_p;  // 0 * infinity is no loss
      gradient[k] = (expf(log_p) - target) / counted;
    }
  }
  loss = block_sum<kThreads>(loss);
  if (threadIdx.x == 0) part[blockIdx.x] = loss / counted;  // no row counted: NaN, as in PyTorch
}

// loss = (1 - t) x + s (log(1 + e^-|x|) + max(-x, 0)) with s = 1 + (pos_weight - 1) t, times weight.
// One thread per element, then a grid further; reads 8 to 12 bytes per element and writes 4.
// pos_weight [classes] and weight [n] may be null. part[block] = the block's share of the mean loss.
__global__ void __launch_bounds__(kThreads)
    bce_kernel(const float* logits, const float* targets, const float* pos_weight, const float* weight,
               std::int64_t n, std::int64_t classes, float* part, float* dlogits) {
  const float count = static_cast<float>(n);
  float loss = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n;
       i += std::int64_t{gridDim.x} * kThreads) {
    const float x = logits[i], t = targets[i];
    const float positive = pos_weight != nullptr ? pos_weight[i % classes] : 1.0F;
    const float factor = weight != nullptr ? weight[i] : 1.0F;
    const float steepness = 1.0F + (positive - 1.0F) * t;
    const float decay = expf(-fabsf(x));
    const float sigmoid_of_minus_x = (x >= 0 ? decay : 1.0F) / (1.0F + decay);
    loss += factor * ((1.0F - t) * x + steepness * (log1pf(decay) + fmaxf(-x, 0.0F)));
    dlogits[i] = factor * ((1.0F - t) - steepness * sigmoid_of_minus_x) / count;
  }
  loss = block_sum<kThreads>(loss);
  if (threadIdx.x == 0) part[blockIdx.x] = loss / count;
}

// loss = sum of part [count]. One block of kBlocks threads.
__global__ void __launch_bounds__(kBlocks) join_kernel(const float* part, int count, float* loss) {
  const int i = static_cast<int>(threadIdx.x);
  const float sum = block_sum<kBlocks>(i < count ? part[i] : 0.0F);
  if (i == 0) *loss = sum;
}

// Blocks for n logits, of which a block takes `per_block` in one go.
int blocks_for(std::int64_t n, std::int64_t per_block) {
  if (n <= kSmall) return 1;
  return static_cast<int>(std::min<std::int64_t>(ceil_div(n, per_block), kBlocks));
}

}  // namespace

void CudaBackend::softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits,
                                        const Tensor& labels, Tensor& loss, Tensor& dlogits) {
  const std::int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  const int blocks = blocks_for(rows * classes, kWarps * classes);
  const Tensor part = blocks == 1 ? loss : scratch(blocks);
  launch(cross_entropy_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream(),
         static_cast<float>(params.label_smoothing), params.ignore_index, logits.data<float>(),
         labels.data<std::int64_t>(), rows, classes, part.data<float>(), dlogits.data<float>());
  if (blocks > 1)
    launch(join_kernel, 1, kBlocks, 0, stream(), part.data<float>(), blocks, loss.data<float>());
}

void CudaBackend::bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                                  const Tensor& weight, Tensor& loss, Tensor& dlogits) {
  const std::int64_t n = logits.numel();
  const int blocks = blocks_for(n, kThreads);
  const Tensor part = blocks == 1 ? loss : scratch(blocks);
  launch(bce_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream(), logits.data<float>(),
         targets.data<float>(), data_or_null<float>(pos_weight), data_or_null<float>(weight), n,
         logits.shape().back(), part.data<float>(), dlogits.data<float>());
  if (blocks > 1)
    launch(join_kernel, 1, kBlocks, 0, stream(), part.data<float>(), blocks, loss.data<float>());
}

}  // namespace sagitta::cuda
