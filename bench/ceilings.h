// What this machine's processors can do at most, measured: the ceilings that a kernel's speed is a share of.
#pragma once

namespace sagitta::bench {

// The widest vector instructions that this processor has and fma_peak() uses: "AVX-512", "AVX2", ...
const char* vector_instructions();

// Independent multiply-adds in registers, as f32 vectors of one width: what fma_peak() times.
struct FmaChains {
  const char* name;  // of the instructions
  double flop;       // of one run, less than a millisecond
  float (*run)();    // what it returns depends on all of them
};
// Of vectors of 16, 32 or 64 bytes, which this processor must have.
FmaChains fma_chains(int vector_bytes);

// FLOP per second of all threads together, doing nothing but independent multiply-adds in registers (an f32
// multiply-add counts two). Takes about `budget` seconds.
double fma_peak(double budget);

// Bytes per second between memory and all threads, on arrays far larger than any cache.
struct MemoryBandwidth {
  double triad = 0;  // a = b + s c: 12 bytes per element, not counting that a cache line is read before it is
                     // written (McCalpin's STREAM)
  double read = 0;   // the sum of an array
};
MemoryBandwidth memory_bandwidth(double budget);

}  // namespace sagitta::bench
