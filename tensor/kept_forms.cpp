#include "tensor/kept_forms.h"

#include "tensor/storage.h"

namespace sagitta {

const std::byte* KeptForms::get(Backend& backend, const Key& key, std::size_t bytes,
                                const std::function<void(std::byte*)>& make) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Storage>& form = forms_[key];
  if (!form) {
    auto made = std::make_unique<Storage>(backend, bytes);
    make(made->data());
    form = std::move(made);
  }
  return form->data();
}

}  // namespace sagitta
