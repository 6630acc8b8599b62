# gtrain_simt_test(NAME [SOURCES file.cu…]): tests/cuda/NAME_test.cpp and the CUDA sources of the op
# (src/ops/cuda/NAME.cu and NAME_*.cu unless named), compiled for the host, with the emulator in
# tests/support/simt -> simt_NAME, a ctest of the same name. Nothing of it needs torch or CUDA.
#
# Only the kernels' object is instrumented: -fsanitize=thread makes each load and store call a
# __tsan_* function, and those are the emulator's, so nothing links the sanitizer itself; the same
# holds of the checks of a thread's own arrays and integers. -O1 and no vectorisation keep one access
# of the source one access. Tests include the launchers' headers only, never a .cuh: of an inline
# function in both objects the linker keeps one, perhaps the one without instrumentation.
#
# By hand, in seconds:
#   g++ -std=c++20 -O2 -g1 -Isrc -Itests -c tests/support/simt/*.cpp        # once, in a scratch folder
#   g++ -x c++ -std=c++17 -O1 -g1 -fsanitize=thread --param tsan-instrument-func-entry-exit=0 \
#       -fno-exceptions -fno-thread-jumps -Wno-unknown-pragmas -Isrc -Itests -c src/ops/cuda/X.cu -o X.o
#   g++ -std=c++20 -g1 -Isrc -Itests tests/cuda/X_test.cpp X.o *.o -lboost_context -lgtest -lgtest_main

set(gtrain_simt_kernel_options -fno-sanitize=all
    -fsanitize=thread,bounds-strict,signed-integer-overflow,shift-exponent,integer-divide-by-zero
    --param=tsan-instrument-func-entry-exit=0 -O1 -g1 -fno-exceptions -fno-thread-jumps
    -fno-tree-vectorize -Wno-unknown-pragmas)

if(NOT TARGET gtrain_simt)
  find_package(Boost 1.74 REQUIRED COMPONENTS context)
  find_package(GTest REQUIRED)
  file(GLOB simt_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/simt/*.cpp)
  add_library(gtrain_simt STATIC ${simt_sources})
  target_include_directories(gtrain_simt PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(gtrain_simt PRIVATE -O2 PUBLIC -Wno-unknown-pragmas)
  target_link_libraries(gtrain_simt PUBLIC Boost::context ${CMAKE_DL_LIBS})
endif()

# name, the test's source, the kernels' sources.
function(gtrain_simt_program name test)
  set(wrappers "")
  foreach(source IN LISTS ARGN)
    # A .cpp that includes the .cu: the same file may be a CUDA source elsewhere in the project.
    file(RELATIVE_PATH relative ${PROJECT_SOURCE_DIR} ${source})
    set(wrapper ${PROJECT_BINARY_DIR}/simt/${name}/${relative}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n")
    list(APPEND wrappers ${wrapper})
  endforeach()
  add_executable(${name} ${test})
  target_link_libraries(${name} PRIVATE gtrain_simt GTest::gmock GTest::gtest_main)
  if(wrappers)
    add_library(${name}_kernels OBJECT ${wrappers})
    target_include_directories(${name}_kernels PRIVATE ${PROJECT_SOURCE_DIR}/src
                               ${PROJECT_SOURCE_DIR}/tests)
    target_compile_options(${name}_kernels PRIVATE ${gtrain_simt_kernel_options})
    set_target_properties(${name}_kernels PROPERTIES CXX_STANDARD 17)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${name}_kernels>)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "unit;gpu_emulated" TIMEOUT 600)
endfunction()

function(gtrain_simt_test op)
  cmake_parse_arguments(S "" "" "SOURCES" ${ARGN})
  set(sources ${S_SOURCES})
  if(NOT sources)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/ops/cuda/${op}.cu
         ${PROJECT_SOURCE_DIR}/src/ops/cuda/${op}_*.cu)
  endif()
  gtrain_simt_program(simt_${op} ${PROJECT_SOURCE_DIR}/tests/cuda/${op}_test.cpp ${sources})
endfunction()

# CuTe's layouts, against which the fragment maps are held: pip download nvidia-cutlass, unpack it, and
# GTRAIN_CUTLASS (of CMake or the environment) names its folder with cute/. Needs the CUDA headers.
function(gtrain_simt_cute target)
  set(GTRAIN_CUTLASS "$ENV{GTRAIN_CUTLASS}" CACHE PATH "The include folder of CUTLASS")
  find_path(gtrain_cuda_include cuda_fp16.h HINTS $ENV{CUDA_HOME}/include /usr/local/cuda/include)
  find_path(gtrain_cccl_include cuda/std/utility HINTS ${gtrain_cuda_include}/cccl)
  if(TARGET ${target} AND GTRAIN_CUTLASS AND gtrain_cuda_include AND gtrain_cccl_include)
    target_include_directories(${target} SYSTEM PRIVATE ${GTRAIN_CUTLASS} ${gtrain_cuda_include}
                               ${gtrain_cccl_include})
  endif()
endfunction()

# tests/simt/X_test.cpp tests the emulator itself, on the kernels of tests/simt/X.cu if there are any.
function(gtrain_simt_tests)
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cuda/*_test.cpp)
  foreach(test IN LISTS tests)
    get_filename_component(op ${test} NAME_WE)
    string(REGEX REPLACE "_test$" "" op ${op})
    gtrain_simt_test(${op})
  endforeach()
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/simt/*_test.cpp)
  foreach(test IN LISTS tests)
    string(REGEX REPLACE "_test.cpp$" ".cu" kernels ${test})
    get_filename_component(name ${kernels} NAME_WE)
    if(NOT EXISTS ${kernels})
      set(kernels "")
    endif()
    gtrain_simt_program(simt_emulator_${name} ${test} ${kernels})
  endforeach()
  gtrain_simt_cute(simt_emulator_fragment)
endfunction()
