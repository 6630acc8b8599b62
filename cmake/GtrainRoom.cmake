# gtrain_room(NAME [SHARED | INTO room] DEPENDS rooms… USES third parties…): src/NAME/*.cpp ->
# library gtrain_NAME; remembers the row of the architecture table for the layer test. INTO: they
# become a part of that room's shared library, with copies of the rooms below that no other library
# or program sees.

set(GTRAIN_ROOMS "" CACHE INTERNAL "")

# The precompiled header of every room that uses torch.
file(WRITE ${PROJECT_BINARY_DIR}/pch/anchor.cpp "")
add_library(gtrain_pch STATIC ${PROJECT_BINARY_DIR}/pch/anchor.cpp)
target_link_libraries(gtrain_pch PRIVATE gtrain_use_torch gtrain_use_fmt)
target_precompile_headers(gtrain_pch PRIVATE
  <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/nn/module.h>)

function(gtrain_use_pch target)
  if(NOT GTRAIN_NO_PCH)
    target_compile_definitions(${target} PRIVATE FMT_HEADER_ONLY=1)
    target_precompile_headers(${target} REUSE_FROM gtrain_pch)
  endif()
endfunction()

function(gtrain_room name)
  cmake_parse_arguments(R "SHARED" "INTO" "DEPENDS;USES" ${ARGN})
  set(GTRAIN_ROOMS "${GTRAIN_ROOMS};${name}" CACHE INTERNAL "")
  set(GTRAIN_ROOM_${name}_DEPENDS "${R_DEPENDS}" CACHE INTERNAL "")
  set(GTRAIN_ROOM_${name}_USES "${R_USES}" CACHE INTERNAL "")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "src/cli/(main|launcher).cpp$")
  list(FILTER sources EXCLUDE REGEX "src/ops/(cpu|cuda)/")
  if(NOT sources)
    return()
  endif()
  set(GTRAIN_ROOM_${name}_INTO "${R_INTO}" CACHE INTERNAL "")
  if(R_INTO)
    gtrain_room_into(${name} ${R_INTO} "${sources}")
    return()
  endif()
  if(R_SHARED)
    add_library(gtrain_${name} SHARED ${sources})
  else()
    add_library(gtrain_${name} STATIC ${sources})
  endif()
  target_include_directories(gtrain_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_include_directories(gtrain_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  foreach(room IN LISTS R_DEPENDS)
    target_link_libraries(gtrain_${name} PUBLIC gtrain_${room})
  endforeach()
  foreach(use IN LISTS R_USES)
    target_link_libraries(gtrain_${name} PUBLIC gtrain_use_${use})
  endforeach()
  target_link_libraries(gtrain_${name} PUBLIC Threads::Threads)
  if(name MATCHES "^(base|graph|data)$")
    target_compile_options(gtrain_${name} PRIVATE -Wconversion)
  endif()
  if("torch" IN_LIST R_USES AND NOT name STREQUAL "data")
    gtrain_use_pch(gtrain_${name})
  endif()
  if(name STREQUAL "ops")
    gtrain_cpu_kernels(gtrain_ops)
    if(GTRAIN_CUDA)
      gtrain_cuda_kernels(gtrain_ops)
    endif()
  endif()
  add_library(gtrain::${name} ALIAS gtrain_${name})
endfunction()

function(gtrain_room_into name into sources)
  add_library(gtrain_${name}_objects OBJECT ${sources})
  target_include_directories(gtrain_${name}_objects PRIVATE ${PROJECT_SOURCE_DIR}/include
                                                            ${PROJECT_SOURCE_DIR}/src)
  # Their archives by file name, users first: what they need to compile is none of that room's.
  set(below ${GTRAIN_ROOM_${name}_DEPENDS})
  list(REMOVE_ITEM below ${into})
  list(REVERSE below)
  foreach(room IN LISTS below)
    add_dependencies(gtrain_${into} gtrain_${room})
    target_link_libraries(gtrain_${into} PRIVATE $<TARGET_FILE:gtrain_${room}>)
  endforeach()
  target_link_options(gtrain_${into} PRIVATE LINKER:--exclude-libs,ALL)
  foreach(use IN LISTS GTRAIN_ROOM_${name}_USES)
    target_link_libraries(gtrain_${name}_objects PRIVATE gtrain_use_${use})
  endforeach()
  if("torch" IN_LIST GTRAIN_ROOM_${name}_USES)
    gtrain_use_pch(gtrain_${name}_objects)
  endif()
  target_sources(gtrain_${into} PRIVATE $<TARGET_OBJECTS:gtrain_${name}_objects>)
endfunction()

# src/ops/cpu/*.cpp, compiled once per instruction set; GTRAIN_CPU names the namespace and
# src/ops/detail/dispatch.h chooses at run time.
function(gtrain_cpu_kernels target)
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/ops/cpu/*.cpp)
  set(flags_baseline "")
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mbmi2
      -mprefer-vector-width=512)
  set(sets baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND sets avx2 avx512)
    target_compile_definitions(${target} PRIVATE GTRAIN_X86=1)
  endif()
  foreach(set IN LISTS sets)
    add_library(gtrain_kernels_${set} OBJECT ${kernels})
    target_compile_options(gtrain_kernels_${set} PRIVATE -O3 -Wno-psabi -fno-math-errno -fno-trapping-math
                           ${flags_${set}})
    target_compile_definitions(gtrain_kernels_${set} PRIVATE GTRAIN_CPU=${set})
    target_include_directories(gtrain_kernels_${set} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:gtrain_kernels_${set}>)
  endforeach()
endfunction()

# The program is a library, so that what starts it can look for libtorch first (src/cli/launcher.cpp).
# Its rooms keep their symbols to themselves: calls among them need no table.
function(gtrain_program)
  add_library(gtrain_program SHARED ${PROJECT_SOURCE_DIR}/src/cli/main.cpp)
  target_link_libraries(gtrain_program PRIVATE gtrain_cli)
  target_link_options(gtrain_program PRIVATE LINKER:--exclude-libs,ALL)
  gtrain_use_pch(gtrain_program)
  add_executable(gtrain ${PROJECT_SOURCE_DIR}/src/cli/launcher.cpp
                        ${PROJECT_SOURCE_DIR}/src/base/torch_release.cpp)
  target_include_directories(gtrain PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(gtrain PRIVATE ${CMAKE_DL_LIBS})
  target_compile_definitions(gtrain PRIVATE
    GTRAIN_TORCH_VERSION="${Torch_VERSION}" GTRAIN_TORCH_FOLDER="${TORCH_INSTALL_PREFIX}")
  set_target_properties(gtrain PROPERTIES
    BUILD_RPATH "$ORIGIN/../lib;${TORCH_INSTALL_PREFIX}/lib")
  add_dependencies(gtrain gtrain_program)
endfunction()

# tests/<room>/*_test.cpp -> one binary and one ctest per room.
function(gtrain_tests)
  find_package(GTest REQUIRED)
  foreach(room IN LISTS GTRAIN_ROOMS)
    file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${room}/*_test.cpp)
    set(libraries gtrain_${room})
    if(GTRAIN_ROOM_${room}_INTO)
      list(TRANSFORM GTRAIN_ROOM_${room}_DEPENDS PREPEND gtrain_ OUTPUT_VARIABLE libraries)
    endif()
    if(tests AND TARGET gtrain_base)
      add_executable(gtrain_${room}_test ${tests})
      target_link_libraries(gtrain_${room}_test PRIVATE ${libraries} GTest::gtest GTest::gmock
                            GTest::gtest_main)
      target_include_directories(gtrain_${room}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests
                                 ${PROJECT_SOURCE_DIR}/src)
      target_compile_definitions(gtrain_${room}_test PRIVATE
        GTRAIN_SOURCE_DIR="${PROJECT_SOURCE_DIR}" GTRAIN_BINARY_DIR="${PROJECT_BINARY_DIR}")
      if("torch" IN_LIST GTRAIN_ROOM_${room}_USES AND NOT room STREQUAL "data")
        gtrain_use_pch(gtrain_${room}_test)
      endif()
      add_test(NAME ${room} COMMAND gtrain_${room}_test)
      # The references are plain ATen: two OpenMP threads each would wait for the test beside them.
      set_tests_properties(${room} PROPERTIES LABELS unit TIMEOUT 600
                           ENVIRONMENT OMP_NUM_THREADS=1)
    endif()
  endforeach()
  gtrain_golden_program()
  include(${PROJECT_SOURCE_DIR}/tests/tests.cmake OPTIONAL)
endfunction()

# gtrain_golden: compares gtrain with the outputs of the authors' own code (tests/golden).
function(gtrain_golden_program)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/golden/*.cpp)
  if(sources AND TARGET gtrain_train)
    add_executable(gtrain_golden ${sources})
    target_link_libraries(gtrain_golden PRIVATE gtrain_train)
    target_include_directories(gtrain_golden PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    gtrain_use_pch(gtrain_golden)
  endif()
endfunction()

function(gtrain_benchmarks)
  include(${PROJECT_SOURCE_DIR}/tools/bench/bench.cmake OPTIONAL)
endfunction()
