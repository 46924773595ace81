// A block of memory owned through the Backend that allocated it, or lent by somebody else, such as a mapped
// file. Several tensors (reshapes, row slices, arena views) may share one Storage; when the last of them
// goes, it returns to the backend's allocator, or lets its owner go.
#pragma once
#include <cstddef>
#include <memory>

#include "tensor/kept_forms.h"

namespace sagitta {

class Backend;

class Storage {
 public:
  Storage(Backend& backend, std::size_t bytes);
  // Memory that `backend` can compute in and that lives as long as `owner`.
  Storage(Backend& backend, std::byte* data, std::size_t bytes, std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Backend& backend() const { return backend_; }
  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_; }

  // From here to as many calls of end_constant() nobody changes the bytes, so that the backend may keep what
  // it makes of them. The last end lets the forms go. Any thread may promise, but while another computes with
  // the bytes, only if that one has promised too.
  void begin_constant();
  void end_constant();
  KeptForms* kept_forms() const { return kept_.get(); }  // null: the bytes may change

 private:
  Backend& backend_;
  std::size_t bytes_;
  std::byte* data_;
  std::shared_ptr<const void> owner_;  // null: the backend
  int constant_ = 0;                   // promises that nobody changes the bytes
  std::unique_ptr<KeptForms> kept_;
};

}  // namespace sagitta
