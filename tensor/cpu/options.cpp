#include "tensor/cpu_options.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "tensor/cpu/isa.h"
#include "tensor/cpu/thread_pool.h"
#include "tensor/error.h"

namespace sagitta {

namespace cpu {

namespace {

std::string available() {
  std::string names;
  for (const std::string_view name : cpu_instruction_sets())
    names += (names.empty() ? "" : ", ") + std::string(name);
  return names.empty() ? "none" : names;
}

const Isa& choose_isa() {
  const char* const wanted = std::getenv("SAGITTA_ISA");
  for (const Isa& isa : compiled_isas())
    if (isa.runs_here() && (wanted == nullptr || std::string_view(wanted) == isa.name)) return isa;
  if (wanted != nullptr)
    fail("SAGITTA_ISA is \"{}\"; this processor and this build have: {}", wanted, available());
  fail(
      "this processor has none of the instruction sets that Sagitta was built for; build it on this machine");
}

const Isa& chosen_isa() {
  static const Isa& isa = choose_isa();
  return isa;
}

std::atomic<ConvAlgorithm> chosen_conv_algorithm{ConvAlgorithm::automatic};

}  // namespace

}  // namespace cpu

Backend& cpu_backend() { return cpu::chosen_isa().open(); }

int cpu_threads() { return cpu::ThreadPool::instance().size(); }

void set_cpu_threads(int threads) { cpu::ThreadPool::instance().resize(threads); }

std::string_view cpu_instruction_set() { return cpu::chosen_isa().name; }

std::vector<std::string_view> cpu_instruction_sets() {
  std::vector<std::string_view> names;
  for (const cpu::Isa& isa : cpu::compiled_isas())
    if (isa.runs_here()) names.push_back(isa.name);
  return names;
}

ConvAlgorithm conv_algorithm() { return cpu::chosen_conv_algorithm.load(std::memory_order_relaxed); }

void set_conv_algorithm(ConvAlgorithm algorithm) { cpu::chosen_conv_algorithm = algorithm; }

}  // namespace sagitta
