// An allocator for one large array that is written once and read in no order, such as a CT volume: its memory
// comes in huge pages where the system has them. Invariant: resize() leaves new elements unset; they are
// written before they are read.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace sagitta::data {

template <class T>
class HugePages {
 public:
  using value_type = T;

  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}

  // A hundred megabytes are 25,000 page faults of 4 KiB, and as many entries of the address cache.
  T* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    const std::size_t bytes = count * sizeof(T);
    void* memory = ::operator new(bytes, alignment(bytes));
    if (bytes >= kHugePage)
      ::madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: without it all works, only slower
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) { ::operator delete(memory, alignment(count * sizeof(T))); }

  // Zeros would only be overwritten.
  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    ::new (static_cast<void*>(place)) U(static_cast<Values&&>(values)...);
  }

  bool operator==(const HugePages&) const { return true; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes >= kHugePage ? kHugePage : alignof(std::max_align_t)};
  }
};

}  // namespace sagitta::data
