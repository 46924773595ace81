#include "apps/observe/step_trace.h"

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = TraceEvents::Json;

// "f32 [4, 8, 8, 64]", with what the op does to it where that is not reading.
std::string text_of(const Operand& operand) {
  constexpr const char* kUses[] = {"", ", written", ", updated"};
  return fmt::format("{} {}{}", name_of(operand.tensor.dtype()), operand.tensor.shape(),
                     kUses[static_cast<int>(operand.use)]);
}

// An op computes in the dtype of its data: that of its first floating-point operand.
std::string_view dtype_of_call(const BackendCall& call) {
  for (const Operand& operand : call.operands)
    if (is_floating(operand.tensor.dtype())) return name_of(operand.tensor.dtype());
  return call.operands.empty() ? "" : name_of(call.operands[0].tensor.dtype());
}

Json args_of(const BackendCall& call, const CallPlace& place) {
  Json args;
  if (!place.layer.empty()) args[place.is_own ? "layer" : "after layer"] = place.layer;
  args["dtype"] = dtype_of_call(call);
  args["bytes moved"] = call.bytes_moved();
  for (const Operand& operand : call.operands) args[std::string(operand.name)] = text_of(operand);
  return args;
}

}  // namespace

StepTrace::StepTrace(ObservedBackend& backend, const LayerNames& names, StepPhases& phases,
                     const StepTraceOptions& options)
    : backend_(backend),
      phases_(phases),
      options_(options),
      places_(names, phases),
      events_({std::string(StepPhases::kStep), "data wait", "upload", "forward", "backward", "update"}) {
  require(options.steps >= 1, "trace: steps is {}, expected at least 1", options.steps);
  phases_.add(*this);
}

StepTrace::~StepTrace() {
  backend_.detach(*this);
  phases_.remove(*this);
}

void StepTrace::opened(const StepPhases::Phase& phase) {
  if (phase.name == StepPhases::kStep && phase.step >= options_.first_step && !is_complete()) {
    backend_.synchronize();  // what was enqueued before is not this step's
    backend_.attach(*this);
    is_active_ = true;
  }
  if (is_active_) phase_begins_.push_back(Clock::now());
}

void StepTrace::closed(const StepPhases::Phase& phase) {
  if (phase_begins_.empty()) return;
  const bool is_step = phase.name == StepPhases::kStep;
  const std::string name = is_step ? fmt::format("step {}", phase.step) : std::string(phase.name);
  events_.add({std::string(phase.name), name, phase_begins_.back(), Clock::now()});
  phase_begins_.pop_back();
  if (!is_step) return;
  ++steps_seen_;
  is_active_ = false;
  backend_.detach(*this);
}

void StepTrace::before(const BackendCall&) { op_begin_ = Clock::now(); }

void StepTrace::after(const BackendCall& call) {
  backend_.synchronize();
  const Clock::time_point end = Clock::now();
  const CallPlace place = places_.of(call);
  std::string name(call.method);
  if (place.is_own) name += fmt::format(" {}", place.layer);
  events_.add({std::string(place.phase.name), std::move(name), op_begin_, end, args_of(call, place)});
  events_.add_counter("memory in use", end, static_cast<double>(backend_.memory_use().in_use) / 1e6, "MB");
}

void StepTrace::add_span(std::string_view lane, std::string_view name, Clock::time_point begin,
                         Clock::time_point end) {
  if (is_active_) events_.add({std::string(lane), std::string(name), begin, end});
}

void StepTrace::write(const std::filesystem::path& file) const {
  const Device device = backend_.device();
  const bool is_gpu = device.kind == Device::Kind::cuda;
  const Json about{
      {"device", device.str()},
      {"durations", is_gpu ? "the host waits for each op, so a span is the op's time on the GPU with its "
                             "launch; a step that is not traced overlaps them and is faster"
                           : "a span is the op's call; the CPU computes it on all its threads meanwhile"},
      {"bytes moved", "what an op must move if it touches each element once, and updated ones twice"},
      {"layer",
       "the layer whose parameters an op uses; 'after layer' names the last one before an op without"}};
  write_text_file(file, events_.json(options_.process, about).dump());
}

}  // namespace sagitta::apps
