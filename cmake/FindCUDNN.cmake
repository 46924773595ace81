# Finds cuDNN 9: CUDNN_FOUND, CUDNN_VERSION and the target CUDNN::cudnn.
# It is looked for in CUDNN_ROOT, beside the CUDA toolkit, in the system, and in the pip packages of the python3 on
# the PATH (nvidia/cudnn or nvidia/cudnn_cu13), which hold no link named libcudnn.so.
execute_process(
  COMMAND python3 -c "import nvidia, glob; [print(f) for p in nvidia.__path__ for f in sorted(glob.glob(p + '/cudnn*'))]"
  OUTPUT_VARIABLE cudnn_pip ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" cudnn_pip "${cudnn_pip}")
set(cudnn_places ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_ROOT} ${CUDAToolkit_TARGET_DIR})

find_path(CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${cudnn_places} PATHS /usr/local/cuda ${cudnn_pip} PATH_SUFFIXES include)
# The library of the same installation first: header and library must be of one version.
get_filename_component(cudnn_prefix "${CUDNN_INCLUDE_DIR}/.." ABSOLUTE)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR
             HINTS ${cudnn_prefix} ${cudnn_places} PATHS /usr/local/cuda ${cudnn_pip}
             PATH_SUFFIXES lib64 lib lib/x86_64-linux-gnu)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)

if(EXISTS "${CUDNN_INCLUDE_DIR}/cudnn_version.h")
  file(READ ${CUDNN_INCLUDE_DIR}/cudnn_version.h cudnn_header)
  foreach(part MAJOR MINOR PATCHLEVEL)
    string(REGEX MATCH "#define CUDNN_${part} +([0-9]+)" matched "${cudnn_header}")
    list(APPEND cudnn_version_parts "${CMAKE_MATCH_1}")
  endforeach()
  list(JOIN cudnn_version_parts "." CUDNN_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES IMPORTED_LOCATION ${CUDNN_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${CUDNN_INCLUDE_DIR})
endif()
