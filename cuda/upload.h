// Uploader: host memory to the GPU without making the host wait for the device.
// The bytes are first copied into pinned memory, which the GPU's copy engine can read by itself. Large
// uploads (a batch of images) go through one of two slots on a stream of their own: while the kernels of one
// step run, the next batch is already on its way, and only the copy from the slot to its tensor stands in
// line with the kernels.
#pragma once
#include <array>
#include <cstddef>

#include "cuda/context.h"

namespace sagitta::cuda {

class Uploader {
 public:
  explicit Uploader(const Context& context) : context_(context) {}
  ~Uploader();  // nothing may run on the device any more
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  // Enqueues host -> device on the compute stream. `host` may be reused on return.
  void upload(const void* host, void* device, std::size_t bytes);

 private:
  // Pinned memory, and for large uploads device memory that it is copied to.
  struct Slot {
    std::size_t capacity = 0;
    std::byte* pinned = nullptr;
    std::byte* device = nullptr;
    cudaEvent_t uploaded = nullptr;  // pinned may be overwritten
    cudaEvent_t consumed = nullptr;  // device may be overwritten
  };

  void reserve(Slot& slot, std::size_t bytes, bool with_device_memory);
  void upload_small(const std::byte* host, std::byte* device, std::size_t bytes);
  void upload_large(const std::byte* host, std::byte* device, std::size_t bytes);

  const Context& context_;
  std::array<Slot, 16> small_;
  std::array<Slot, 2> large_;
  std::size_t next_small_ = 0, next_large_ = 0;
};

}  // namespace sagitta::cuda
