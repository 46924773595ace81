# sagitta_flags: the compile options that every target of this project shares.
add_library(sagitta_flags INTERFACE)
function(sagitta_cxx_options)
  foreach(option ${ARGN})
    target_compile_options(sagitta_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${option}>)
  endforeach()
endfunction()

sagitta_cxx_options(-Wall -Wextra -Wpedantic $<$<BOOL:${SAGITTA_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 reports overlapping copies inside std::string where there are none (GCC bug 105651).
  sagitta_cxx_options(-Wno-restrict)
endif()
if(SAGITTA_SANITIZE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # The instrumentation hides initializations from the warning: it fires inside libstdc++ (GCC bug 105562).
    sagitta_cxx_options(-Wno-maybe-uninitialized)
  endif()
  # UBSan stops at the first finding, so that a test cannot pass over one.
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  sagitta_cxx_options(${sanitize})
  target_link_options(sagitta_flags INTERFACE ${sanitize})
endif()

# sagitta_library(FLOOR SOURCES a.cpp ... [PUBLIC lib ...] [PRIVATE lib ...])
# makes the target sagitta_FLOOR with the alias sagitta::FLOOR; includes are written "FLOOR/file.h".
function(sagitta_library floor)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(sagitta_${floor} STATIC ${arg_SOURCES})
  add_library(sagitta::${floor} ALIAS sagitta_${floor})
  set_target_properties(sagitta_${floor} PROPERTIES EXPORT_NAME ${floor} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(sagitta_${floor} PUBLIC cxx_std_20)
  target_include_directories(
    sagitta_${floor} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sagitta>)
  target_link_libraries(sagitta_${floor} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE} $<BUILD_INTERFACE:sagitta_flags>)
  set_property(GLOBAL APPEND PROPERTY SAGITTA_LIBRARIES sagitta_${floor})
endfunction()

# sagitta_kernels(NAME ISA a.cpp ...): an object library of files compiled for one instruction set (tensor/cpu/isa.h).
function(sagitta_kernels name isa)
  add_library(${name} OBJECT ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE fmt::fmt sagitta_flags)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  # errno and traps: neither changes a result, and without them loops with square roots and selections become SIMD.
  target_compile_options(${name} PRIVATE -include ${PROJECT_SOURCE_DIR}/tensor/cpu/isa/${isa}.h -fopenmp-simd
                                         -fno-math-errno -fno-trapping-math)
endfunction()

# sagitta_executable(NAME SOURCES a.cpp ... LINK lib ...): an installed program in build/*/bin.
function(sagitta_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} sagitta_flags)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# sagitta_test(NAME [MAIN main.cpp] SOURCES a.cpp ... LINK lib ... [PROPERTIES p v ...]): a doctest executable; every
# TEST_CASE becomes a ctest with these properties.
function(sagitta_test name)
  cmake_parse_arguments(arg "" "MAIN" "SOURCES;LINK;PROPERTIES" ${ARGN})
  if(NOT arg_MAIN)
    set(arg_MAIN main.cpp)
  endif()
  add_executable(${name} ${arg_MAIN} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} doctest::doctest sagitta_flags)
  target_compile_definitions(${name} PRIVATE SAGITTA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             SAGITTA_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  doctest_discover_tests(${name} TEST_PREFIX "${name}: " PROPERTIES TIMEOUT 1200 ${arg_PROPERTIES})
endfunction()

# sagitta_discover(NAME VARIANT ARGUMENT [p v ...]): the test cases of NAME once more, run with a further argument.
function(sagitta_discover name variant argument)
  doctest_discover_tests(${name} TEST_PREFIX "${name}, ${variant}: " EXTRA_ARGS ${argument} PROPERTIES TIMEOUT 1200 ${ARGN})
endfunction()

# sagitta_cuda_test(NAME SOURCES a.cpp ... LINK lib ... [BOTH_ATTENTIONS]): a test of the CUDA backend. NAME runs on the
# GPU, or is reported as skipped; NAME_emulated runs the same kernels on the emulated device, under both schedules of its
# threads. BOTH_ATTENTIONS runs it on the GPU again with cuDNN's attention in place of this project's.
function(sagitta_cuda_test name)
  cmake_parse_arguments(arg "BOTH_ATTENTIONS" "" "SOURCES;LINK" ${ARGN})
  if(SAGITTA_HAS_CUDA)
    set(properties SKIP_RETURN_CODE 77 RESOURCE_LOCK gpu)
    sagitta_test(${name} MAIN cuda_main.cpp SOURCES ${arg_SOURCES} LINK ${arg_LINK} sagitta::cuda PROPERTIES ${properties})
    if(arg_BOTH_ATTENTIONS)
      sagitta_discover(${name} "cuDNN attention" --attention=cudnn ${properties})
    endif()
  endif()
  if(TARGET sagitta_cuda_emulated)
    sagitta_test(${name}_emulated MAIN cuda_main.cpp SOURCES ${arg_SOURCES} LINK ${arg_LINK} sagitta_cuda_emulated)
    sagitta_discover(${name}_emulated "schedule 1" --schedule=1)
  endif()
endfunction()
