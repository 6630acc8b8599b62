# GTRAIN_CUDA=ON: src/ops/cuda/*.cu by nvcc for sm_80, sm_90 and PTX, and the glue between torch and
# their launchers (src/ops/cuda/*.cpp), both into gtrain_ops. It needs a CUDA libtorch and a toolkit;
# tools/cuda_build.sh takes both from pip. Without it ops refuse CUDA tensors (ops/detail/device.h).

function(gtrain_cuda_kernels target)
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/ops/cuda/*.cu)
  file(GLOB glue CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/ops/cuda/*.cpp)
  if(NOT TORCH_CUDA_LIBRARIES AND NOT TARGET torch_cuda)
    message(FATAL_ERROR "GTRAIN_CUDA is ON, but the libtorch in ${TORCH_INSTALL_PREFIX} has no CUDA")
  endif()
  find_package(CUDAToolkit REQUIRED)
  # Apart from the target's own sources: the kernels see no header of torch.
  add_library(gtrain_cuda_kernels OBJECT ${kernels})
  target_include_directories(gtrain_cuda_kernels PRIVATE ${PROJECT_SOURCE_DIR}/src)
  set_target_properties(gtrain_cuda_kernels PROPERTIES
    POSITION_INDEPENDENT_CODE ON CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON)
  target_sources(${target} PRIVATE ${glue} $<TARGET_OBJECTS:gtrain_cuda_kernels>)
  target_compile_definitions(${target} PRIVATE GTRAIN_CUDA=1)
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(${target} PRIVATE CUDA::cudart)
endfunction()
