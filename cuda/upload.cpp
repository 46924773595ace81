#include "cuda/upload.h"

#include <algorithm>
#include <cstring>

#include "cuda/check.h"

namespace sagitta::cuda {
namespace {

constexpr std::size_t kSmall = std::size_t{64} << 10;
constexpr std::size_t kPiece = std::size_t{64} << 20;  // most that a large slot holds

}  // namespace

Uploader::~Uploader() {
  for (auto* slots : {small_.data(), large_.data()}) {
    const std::size_t count = slots == small_.data() ? small_.size() : large_.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (slots[i].capacity == 0) continue;
      cudaFreeHost(slots[i].pinned);
      cudaFree(slots[i].device);
      cudaEventDestroy(slots[i].uploaded);
      cudaEventDestroy(slots[i].consumed);
    }
  }
}

void Uploader::upload(const void* host, void* device, std::size_t bytes) {
  const auto* source = static_cast<const std::byte*>(host);
  auto* destination = static_cast<std::byte*>(device);
  if (bytes == 0) return;
  if (bytes <= kSmall) return upload_small(source, destination, bytes);
  for (std::size_t begin = 0; begin < bytes; begin += kPiece)
    upload_large(source + begin, destination + begin, std::min(kPiece, bytes - begin));
}

// Makes the slot large enough and waits until its pinned memory is free.
void Uploader::reserve(Slot& slot, std::size_t bytes, bool with_device_memory) {
  if (slot.capacity > 0) check(cudaEventSynchronize(slot.uploaded));
  if (slot.capacity >= bytes) return;
  if (slot.capacity == 0) {
    check(cudaEventCreateWithFlags(&slot.uploaded, cudaEventDisableTiming));
    check(cudaEventCreateWithFlags(&slot.consumed, cudaEventDisableTiming));
  } else {
    check(cudaEventSynchronize(slot.consumed));
    check(cudaFreeHost(slot.pinned));
    check(cudaFree(slot.device));
  }
  check(cudaMallocHost(reinterpret_cast<void**>(&slot.pinned), bytes));
  if (with_device_memory) check(cudaMalloc(reinterpret_cast<void**>(&slot.device), bytes));
  slot.capacity = bytes;
}

void Uploader::upload_small(const std::byte* host, std::byte* device, std::size_t bytes) {
  Slot& slot = small_[next_small_++ % small_.size()];
  reserve(slot, kSmall, false);
  std::memcpy(slot.pinned, host, bytes);
  check(cudaMemcpyAsync(device, slot.pinned, bytes, cudaMemcpyHostToDevice, context_.stream()));
  check(cudaEventRecord(slot.uploaded, context_.stream()));
}

void Uploader::upload_large(const std::byte* host, std::byte* device, std::size_t bytes) {
  Slot& slot = large_[next_large_++ % large_.size()];
  reserve(slot, bytes, true);
  std::memcpy(slot.pinned, host, bytes);
  check(cudaStreamWaitEvent(context_.upload_stream(), slot.consumed, 0));
  check(cudaMemcpyAsync(slot.device, slot.pinned, bytes, cudaMemcpyHostToDevice, context_.upload_stream()));
  check(cudaEventRecord(slot.uploaded, context_.upload_stream()));
  check(cudaStreamWaitEvent(context_.stream(), slot.uploaded, 0));
  check(cudaMemcpyAsync(device, slot.device, bytes, cudaMemcpyDeviceToDevice, context_.stream()));
  check(cudaEventRecord(slot.consumed, context_.stream()));
}

}  // namespace sagitta::cuda
