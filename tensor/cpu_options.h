// How the CPU backend computes: threads, instruction set, algorithm of convolutions. What can be set is meant
// to be set at the start of a program, not while the backend computes.
#pragma once
#include <string_view>
#include <vector>

namespace sagitta {

// Threads that compute. At first OMP_NUM_THREADS or, without that variable, the processors that this process
// may use. At least 1. Results do not depend on it.
int cpu_threads();
void set_cpu_threads(int threads);

// The instruction set in use: the best that this processor has of those compiled, or what the environment
// variable SAGITTA_ISA names. Results of different instruction sets differ in the last bits. Throws when
// SAGITTA_ISA names none that can run here.
std::string_view cpu_instruction_set();
// All that are compiled and run here, best first.
std::vector<std::string_view> cpu_instruction_sets();

// How 3 x 3 convolutions with stride 1 are computed: by their definition, by Winograd's F(2x2) or F(4x4), or
// by whichever was measured to be fastest for the shape (at first). docs/performance.md has speed and error
// of each.
enum class ConvAlgorithm { automatic, direct, winograd2, winograd4 };
ConvAlgorithm conv_algorithm();
void set_conv_algorithm(ConvAlgorithm algorithm);

}  // namespace sagitta
