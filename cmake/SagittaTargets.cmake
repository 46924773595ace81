# sagitta_flags: the compile options that every target of this project shares.
add_library(sagitta_flags INTERFACE)
target_compile_options(sagitta_flags INTERFACE -Wall -Wextra -Wpedantic $<$<BOOL:${SAGITTA_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 reports overlapping copies inside std::string where there are none (GCC bug 105651).
  target_compile_options(sagitta_flags INTERFACE -Wno-restrict)
endif()
if(SAGITTA_NATIVE)
  target_compile_options(sagitta_flags INTERFACE -march=native)
endif()
if(SAGITTA_SANITIZE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # The instrumentation hides initializations from the warning: it fires inside libstdc++ (GCC bug 105562).
    target_compile_options(sagitta_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
  # UBSan stops at the first finding, so that a test cannot pass over one.
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(sagitta_flags INTERFACE ${sanitize})
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

# sagitta_executable(NAME SOURCES a.cpp ... LINK lib ...): an installed program in build/*/bin.
function(sagitta_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} sagitta_flags)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# sagitta_test(NAME SOURCES a.cpp ... LINK lib ...): a doctest executable; every TEST_CASE becomes a ctest.
function(sagitta_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} main.cpp ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} doctest::doctest sagitta_flags)
  target_compile_definitions(${name} PRIVATE SAGITTA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             SAGITTA_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  doctest_discover_tests(${name} TEST_PREFIX "${name}: " PROPERTIES TIMEOUT 1200)
endfunction()
