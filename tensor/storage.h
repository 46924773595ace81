// A block of memory owned through the Backend that allocated it.
// Several tensors (reshapes, row slices, arena views) may share one Storage; it returns to the backend's
// allocator when the last of them goes.
#pragma once
#include <cstddef>

namespace sagitta {

class Backend;

class Storage {
 public:
  Storage(Backend& backend, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Backend& backend() const { return backend_; }
  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_; }

 private:
  Backend& backend_;
  std::size_t bytes_;
  std::byte* data_;
};

}  // namespace sagitta
