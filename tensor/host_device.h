// The qualifier that lets one function serve the CPU loops and the CUDA kernels; the only macro of the
// project.
#pragma once
#ifdef __CUDACC__
#define SAGITTA_HOST_DEVICE __host__ __device__
#else
#define SAGITTA_HOST_DEVICE
#endif
