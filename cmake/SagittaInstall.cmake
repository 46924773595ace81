# Installs libraries, headers and the package files behind find_package(sagitta).
include(CMakePackageConfigHelpers)
get_property(libraries GLOBAL PROPERTY SAGITTA_LIBRARIES)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sagitta)

install(TARGETS ${libraries} EXPORT sagittaTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(floor tensor autograd nn models data)
  install(DIRECTORY ${floor} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sagitta
          FILES_MATCHING PATTERN "*.h" PATTERN tensor/cpu EXCLUDE)
endforeach()
# The rest of cuda/, like tensor/cpu/, is for its own files.
install(FILES cuda/cuda.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sagitta/cuda)
install(EXPORT sagittaTargets NAMESPACE sagitta:: DESTINATION ${package_dir})
configure_package_config_file(cmake/sagittaConfig.cmake.in ${PROJECT_BINARY_DIR}/sagittaConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sagittaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sagittaConfig.cmake ${PROJECT_BINARY_DIR}/sagittaConfigVersion.cmake
              cmake/FindCUDNN.cmake
        DESTINATION ${package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
