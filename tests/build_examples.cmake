# Installs the build into a fresh prefix, then configures and builds examples/ against that, as a project of its own.
# cmake -DBUILD_DIR=... -DEXAMPLES_DIR=... -DPREFIX=... -DEXAMPLES_BUILD=... -DCXX_FLAGS=... -P build_examples.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGN}\n${output}")
  endif()
endfunction()
file(REMOVE_RECURSE ${PREFIX} ${EXAMPLES_BUILD})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${PREFIX})
run(${CMAKE_COMMAND} -S ${EXAMPLES_DIR} -B ${EXAMPLES_BUILD} -DCMAKE_PREFIX_PATH=${PREFIX}
    "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror ${CXX_FLAGS}")
run(${CMAKE_COMMAND} --build ${EXAMPLES_BUILD})
# The programs find what they come with.
run(${PREFIX}/bin/train_resnet --recipe demo-resnet --help)
foreach(file share/man/man1/train_resnet.1 share/bash-completion/completions/train_resnet
        share/zsh/site-functions/_train_resnet share/fish/vendor_completions.d/train_resnet.fish)
  if(NOT EXISTS ${PREFIX}/${file})
    message(FATAL_ERROR "not installed: ${file}")
  endif()
endforeach()
