# Benchmark programs: built beside the rest, run by hand or by the scripts here.

if(TARGET gtrain_encode AND TARGET gtrain_data)
  add_executable(gtrain_bench_encode ${PROJECT_SOURCE_DIR}/tools/bench/encode_bench.cpp)
  target_link_libraries(gtrain_bench_encode PRIVATE gtrain_encode gtrain_data)
endif()

if(TARGET gtrain_data)
  add_executable(gtrain_bench_import ${PROJECT_SOURCE_DIR}/tools/bench/import_bench.cpp)
  target_link_libraries(gtrain_bench_import PRIVATE gtrain_data)
endif()

if(TARGET gtrain_cli)
  add_executable(gtrain_bench_step ${PROJECT_SOURCE_DIR}/tools/bench/step_bench.cpp)
  target_link_libraries(gtrain_bench_step PRIVATE gtrain_cli)
  target_include_directories(gtrain_bench_step PRIVATE ${PROJECT_SOURCE_DIR}/src)
  gtrain_use_pch(gtrain_bench_step)
endif()

if(TARGET gtrain_ops)
  add_executable(gtrain_bench_varlen ${PROJECT_SOURCE_DIR}/tools/bench/varlen_bench.cpp)
  target_link_libraries(gtrain_bench_varlen PRIVATE gtrain_ops)
  gtrain_use_pch(gtrain_bench_varlen)
endif()

if(TARGET gtrain_ops)
  add_executable(gtrain_bench_row ${PROJECT_SOURCE_DIR}/tools/bench/row_bench.cpp)
  target_link_libraries(gtrain_bench_row PRIVATE gtrain_ops)
  gtrain_use_pch(gtrain_bench_row)
endif()

if(TARGET gtrain_ops)
  add_executable(gtrain_bench_sparse ${PROJECT_SOURCE_DIR}/tools/bench/attention_bench.cpp)
  target_link_libraries(gtrain_bench_sparse PRIVATE gtrain_ops)
  gtrain_use_pch(gtrain_bench_sparse)
endif()
