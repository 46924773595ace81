#include "tensor/observed_backend.h"

#include <algorithm>
#include <memory>

#include "tensor/error.h"

namespace sagitta {
namespace {

using Use = Operand::Use;

class ObservedCapture final : public Captured {
 public:
  ObservedCapture(ObservedBackend& backend, std::function<void()> work)
      : backend_(backend),
        work_(std::make_shared<std::function<void()>>(std::move(work))),
        captured_(backend.inner().capture([work = work_] { (*work)(); })) {}

  void replay() override {
    if (backend_.is_observed())
      (*work_)();
    else
      captured_->replay();
  }

 private:
  ObservedBackend& backend_;
  std::shared_ptr<std::function<void()>> work_;
  std::unique_ptr<Captured> captured_;
};

}  // namespace

std::size_t BackendCall::bytes_moved() const {
  std::size_t bytes = 0;
  for (const Operand& operand : operands)
    bytes += operand.tensor.bytes() * (operand.use == Use::updated ? 2 : 1);
  return bytes;
}

void ObservedBackend::attach(BackendObserver& observer) {
  require(std::find(observers_.begin(), observers_.end(), &observer) == observers_.end(),
          "observed backend: the observer is attached already");
  observers_.push_back(&observer);
}

void ObservedBackend::detach(BackendObserver& observer) { std::erase(observers_, &observer); }

void ObservedBackend::tell_before(const BackendCall& call) const {
  for (BackendObserver* observer : observers_) observer->before(call);
}

void ObservedBackend::tell_after(const BackendCall& call) const {
  for (auto observer = observers_.rbegin(); observer != observers_.rend(); ++observer)
    (*observer)->after(call);
}

void ObservedBackend::write(const void* host, Tensor& y) {
  const Operand operands[] = {{"y", y, Use::written}};
  tell_before({"write", operands});
  inner_.write(host, y);
  tell_after({"write", operands});
}

void ObservedBackend::read(const Tensor& x, void* host) {
  const Operand operands[] = {{"x", x, Use::read}};
  tell_before({"read", operands});
  inner_.read(x, host);
  tell_after({"read", operands});
}

std::unique_ptr<Captured> ObservedBackend::capture(std::function<void()> work) {
  return std::make_unique<ObservedCapture>(*this, std::move(work));
}

void OperandList::add(Tensor& tensor) {
  const OperandName& name = *next_name_++;
  push(name, tensor, name.updated ? Use::updated : Use::written);
}

void OperandList::add(const Target& target) {
  push(*next_name_++, target.dst, target.accumulate ? Use::updated : Use::written);
}

void OperandList::add(const ParameterUpdate& update) {
  push("segment_end", update.segments.end, Use::read);
  push("segment_decay", update.segments.decay, Use::read);
  push("segment_rate", update.segments.rate, Use::read);
  push("state", update.state, Use::read);
  push("norm2", update.norm2, Use::read);
  push("loss_scale", update.loss_scale, Use::read);
  push("gradient", update.gradient, Use::read);
  push("values", update.values, Use::updated);
  push("copy", update.copy, Use::written);
}

void OperandList::push(const OperandName& name, const Tensor& tensor, Use use) {
  if (tensor) operands_.push_back({name.text, tensor, use});
}

}  // namespace sagitta
