// A libcuda.so.1 without a driver: just enough for cuDNN to compile kernels for a GPU that is not there.
// Engines that generate code hand the finished binary to the driver when a plan is finalized; this one takes
// it, gives handles that nobody may use, and notes the kernel's name, which is how the plan test shows it.
// Everything else answers CUDA_ERROR_STUB_LIBRARY.
#include <string>

namespace {

constexpr int kSuccess = 0, kStubLibrary = 34;
constexpr int kDriverVersion = 13000;

std::string& last_kernel() {
  static std::string name;
  return name;
}

int give_handle(void** handle) {
  static int nothing = 0;
  *handle = &nothing;
  return kSuccess;
}

}  // namespace

extern "C" {

// The name of the kernel that was looked up last; empty before the first.
const char* stub_last_kernel() { return last_kernel().c_str(); }

int cuDriverGetVersion(int* version) {
  *version = kDriverVersion;
  return kSuccess;
}
int cuLibraryLoadData(void** library) { return give_handle(library); }
int cuLibraryGetKernel(void** kernel, void* /*library*/, const char* name) {
  last_kernel() = name;
  return give_handle(kernel);
}
int cuLibraryUnload() { return kSuccess; }
int cuKernelGetFunction(void** function) { return give_handle(function); }
int cuKernelSetAttribute() { return kSuccess; }

int cuGetErrorName(int /*error*/, const char** name) {
  *name = "no driver";
  return kSuccess;
}
int cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

int cuKernelGetAttribute() { return kStubLibrary; }
int cuCtxGetCurrent() { return kStubLibrary; }
int cuCtxGetLimit() { return kStubLibrary; }
int cuCtxPopCurrent() { return kStubLibrary; }
int cuCtxPushCurrent() { return kStubLibrary; }
int cuDeviceGet() { return kStubLibrary; }
int cuDeviceGetCount() { return kStubLibrary; }
int cuLaunchCooperativeKernel() { return kStubLibrary; }
int cuLaunchKernel() { return kStubLibrary; }
int cuLaunchKernelEx() { return kStubLibrary; }
int cuLibraryLoadFromFile() { return kStubLibrary; }
int cuLinkAddData() { return kStubLibrary; }
int cuLinkComplete() { return kStubLibrary; }
int cuLinkCreate() { return kStubLibrary; }
int cuLinkDestroy() { return kStubLibrary; }
int cuOccupancyMaxPotentialClusterSize() { return kStubLibrary; }
int cuStreamGetCtx() { return kStubLibrary; }
}
