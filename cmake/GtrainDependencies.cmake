# Third parties, each as an interface target gtrain_use_<name> that a room names under USES.
# Headers are SYSTEM so that our warning flags do not reach them.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# libtorch: one given by the user, else the pip wheel that tools/quickstart.sh puts into .deps/.
if(NOT Torch_DIR)  # also one that an earlier search did not find
  file(GLOB torch_wheels ${PROJECT_SOURCE_DIR}/.deps/venv/lib/python*/site-packages/torch/share/cmake)
  list(APPEND CMAKE_PREFIX_PATH ${torch_wheels})
endif()
set(USE_XNNPACK OFF)
find_package(Torch 2.6 REQUIRED)
set(CMAKE_CUDA_STANDARD 17)
get_target_property(torch_includes torch INTERFACE_INCLUDE_DIRECTORIES)

find_package(TBB REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_path(SPECTRA_INCLUDE Spectra/SymEigsSolver.h REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_package(Threads REQUIRED)

function(gtrain_use name)
  cmake_parse_arguments(U "" "" "INCLUDE;LINK;DEFINE" ${ARGN})
  add_library(gtrain_use_${name} INTERFACE)
  target_include_directories(gtrain_use_${name} SYSTEM INTERFACE ${U_INCLUDE})
  target_link_libraries(gtrain_use_${name} INTERFACE ${U_LINK})
  target_compile_definitions(gtrain_use_${name} INTERFACE ${U_DEFINE})
endfunction()

# fmt: the torch wheel's headers (12.x) would shadow a system copy, so they are the copy in use.
gtrain_use(fmt INCLUDE ${torch_includes} DEFINE FMT_HEADER_ONLY=1)
gtrain_use(torch INCLUDE ${torch_includes} LINK ${TORCH_LIBRARIES})
gtrain_use(tbb LINK TBB::tbb)
gtrain_use(boost LINK Boost::headers)
gtrain_use(hdf5 INCLUDE ${HDF5_C_INCLUDE_DIRS} LINK ${HDF5_C_LIBRARIES})
gtrain_use(zlib LINK ZLIB::ZLIB)
gtrain_use(yaml LINK yaml-cpp)
gtrain_use(eigen LINK Eigen3::Eigen)
gtrain_use(spectra INCLUDE ${SPECTRA_INCLUDE})
gtrain_use(json LINK nlohmann_json::nlohmann_json)
gtrain_use(cli11 LINK CLI11::CLI11)
gtrain_use(xxhash INCLUDE ${XXHASH_INCLUDE} DEFINE XXH_INLINE_ALL=1)

# One flag set for every target, so that one precompiled header serves them all. -fPIC by hand:
# CMake's own switch would give programs -fPIE, which refuses that header.
set(gtrain_options -fPIC -Wall -Wextra -Wpedantic -Wshadow -fpch-preprocess)
if(GTRAIN_CUDA)  # nvcc knows none of them
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${gtrain_options}>")
else()
  add_compile_options(${gtrain_options})
endif()
add_compile_definitions(_GLIBCXX_ASSERTIONS)
if(GTRAIN_WERROR)
  add_compile_options(-Werror)
endif()
if(GTRAIN_SANITIZE)
  add_compile_options(-fsanitize=${GTRAIN_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${GTRAIN_SANITIZE})
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")

find_program(ccache_program ccache)
if(ccache_program)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${ccache_program})
endif()
find_program(mold_program mold)
if(mold_program)
  add_link_options(-fuse-ld=mold)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
