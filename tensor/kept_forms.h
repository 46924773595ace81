// KeptForms: what a backend makes of constant memory and keeps from one call to the next, such as the packed
// panels of a weight. It exists while somebody promises that the memory does not change (Storage).
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace sagitta {

class Backend;
class Storage;

class KeptForms {
 public:
  // Which form of which elements; what `form` and the extents mean is the backend's matter.
  struct Key {
    const void* elements;
    int form;
    std::int64_t rows, columns;
    auto operator<=>(const Key&) const = default;
  };

  // The form's bytes, which make(memory) writes when it is asked for first. Thread-safe.
  const std::byte* get(Backend& backend, const Key& key, std::size_t bytes,
                       const std::function<void(std::byte*)>& make);

 private:
  std::mutex mutex_;
  std::map<Key, std::unique_ptr<Storage>> forms_;
};

}  // namespace sagitta
