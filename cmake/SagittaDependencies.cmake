# Finds every third-party library; each is used by one folder (docs/decisions.md lists them).
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
# Chart.js, which reports carry inside them; Debian's libjs-chart.js.
find_file(CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist)
if(NOT CHART_JS)
  message(STATUS "Without Chart.js (libjs-chart.js): reports have tables but no charts")
endif()
find_package(Protobuf QUIET)
find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb REQUIRED)

if(SAGITTA_DICOM)
  # Debian's DCMTK config file names its libraries but no include folders; plain names are enough.
  find_path(DCMTK_INCLUDE dcmtk/config/osconfig.h)
  find_library(DCMTK_DCMDATA dcmdata)
  if(DCMTK_INCLUDE AND DCMTK_DCMDATA)
    set(SAGITTA_HAS_DICOM ON)
  else()
    message(WARNING "DCMTK not found: building without DICOM (reslice and make_phantom are left out). "
                    "Install libdcmtk-dev, or pass -DSAGITTA_DICOM=OFF to silence this.")
  endif()
endif()

# Draws pictures of the autograd graph; without it they are written as text for its program dot.
find_path(GRAPHVIZ_INCLUDE_DIR graphviz/gvc.h)
find_library(GRAPHVIZ_GVC gvc)
find_library(GRAPHVIZ_CGRAPH cgraph)
if(GRAPHVIZ_INCLUDE_DIR AND GRAPHVIZ_GVC AND GRAPHVIZ_CGRAPH)
  set(SAGITTA_HAS_GRAPHVIZ ON)
  set(GRAPHVIZ_INCLUDE_DIRS ${GRAPHVIZ_INCLUDE_DIR})
  set(GRAPHVIZ_LIBRARIES ${GRAPHVIZ_GVC} ${GRAPHVIZ_CGRAPH})
else()
  message(STATUS "Graphviz: not found, graphs are written as .dot only (install libgraphviz-dev)")
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
