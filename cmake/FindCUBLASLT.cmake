# Finds cuBLASLt: CUBLASLT_FOUND and the target CUDA::cublasLt, which FindCUDAToolkit makes where the toolkit holds it.
# A toolkit cut down to its compiler does not; the pip packages of the python3 on the PATH then do (nvidia/cu13 or
# nvidia/cublas), without a link named libcublasLt.so.
if(NOT TARGET CUDA::cublasLt)
  execute_process(
    COMMAND python3 -c "import nvidia, glob; [print(f) for p in nvidia.__path__ for f in glob.glob(p + '/cu[1b]*')]"
    OUTPUT_VARIABLE cublas_pip ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REPLACE "\n" ";" cublas_pip "${cublas_pip}")
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUBLAS_ROOT} PATHS ${cublas_pip} PATH_SUFFIXES include)
  find_library(CUBLASLT_LIBRARY NAMES cublasLt libcublasLt.so.${CUDAToolkit_VERSION_MAJOR} NAMES_PER_DIR
               HINTS ${CUBLAS_ROOT} PATHS ${cublas_pip} PATH_SUFFIXES lib lib64)
  mark_as_advanced(CUBLASLT_INCLUDE_DIR CUBLASLT_LIBRARY)
  if(CUBLASLT_INCLUDE_DIR AND CUBLASLT_LIBRARY)
    add_library(CUDA::cublasLt UNKNOWN IMPORTED)
    set_target_properties(CUDA::cublasLt PROPERTIES IMPORTED_LOCATION ${CUBLASLT_LIBRARY}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${CUBLASLT_INCLUDE_DIR})
  endif()
endif()

set(cublaslt_target "")
if(TARGET CUDA::cublasLt)
  set(cublaslt_target CUDA::cublasLt)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUBLASLT REQUIRED_VARS cublaslt_target)
