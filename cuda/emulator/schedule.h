// In which order the emulated device runs what a GPU runs at the same time. A kernel is right when every
// order gives the same result; a race shows as a difference.
#pragma once
#include <cstdint>
#include <span>

namespace sagitta::cuda::emulator {

enum class Schedule { ascending, descending, random };

// The order of threads and of blocks in later launches. Before the first call the environment variable
// SAGITTA_EMULATOR_SCHEDULE decides: 0 ascending (default), 1 descending, 2 random, with the seed in
// SAGITTA_EMULATOR_SEED.
void set_schedule(Schedule schedule, std::uint32_t seed = 1);

// A schedule with the state of its random numbers.
class Order {
 public:
  Order(Schedule schedule, std::uint32_t seed) : schedule_(schedule), random_(seed) {}
  // As the environment variables say. Throws Error when they make no sense.
  static Order from_environment();

  bool descending() const { return schedule_ == Schedule::descending; }
  bool random() const { return schedule_ == Schedule::random; }
  // An even choice from 0 to bound - 1.
  std::uint32_t choose(std::uint32_t bound);
  // Puts the numbers from 0 in the order in which threads start.
  void arrange(std::span<unsigned> threads);
  // Calls each(i) for i < count, last things first: what was pushed last onto a stack comes off first.
  template <class Each>
  void backward(unsigned count, Each&& each) const {
    if (descending())
      for (unsigned i = 0; i < count; ++i) each(i);
    else
      for (unsigned i = count; i-- > 0;) each(i);
  }

 private:
  Schedule schedule_;
  std::uint32_t random_;
};

}  // namespace sagitta::cuda::emulator
