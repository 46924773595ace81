// Four kernels with one typical mistake each, and without it. A test of the emulator: it must catch the
// mistake and let the correct twin pass. Each function runs its kernel and returns whether the result is
// right.
#pragma once

namespace sagitta::test {

bool missing_barrier(bool faulty);
bool reduction_race(bool faulty);
bool out_of_bounds(bool faulty);
bool divergent_barrier(bool faulty);

}  // namespace sagitta::test
