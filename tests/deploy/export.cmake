# The exported file in Python with torch alone: the wheel that gtrain itself is built with.
if(TARGET gtrain_deploy_test AND NOT GTRAIN_SANITIZE)
  set(export_python ${PROJECT_SOURCE_DIR}/.deps/venv/bin/python)
  add_test(NAME export.python
    COMMAND ${CMAKE_COMMAND} -E env OMP_NUM_THREADS=1
            ${export_python} -B -W ignore ${PROJECT_SOURCE_DIR}/tests/deploy/load_test.py
            $<TARGET_FILE:gtrain_deploy_test>)
  set_tests_properties(export.python PROPERTIES LABELS unit SKIP_RETURN_CODE 77 TIMEOUT 300)
  if(NOT EXISTS ${export_python})
    set_tests_properties(export.python PROPERTIES DISABLED ON)
  endif()
endif()

# Damaged files, each in a run of the program.
if(TARGET gtrain AND gtrain_python)
  add_test(NAME export.flips
    COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tools/flip_test.py
            --gtrain $<TARGET_FILE:gtrain> --count 200 --seed 1)
  set_tests_properties(export.flips PROPERTIES LABELS slow TIMEOUT 600)
endif()

# Files of every recipe family in plain torch against `gtrain predict`: a few of them, and all.
if(TARGET gtrain AND gtrain_python AND NOT GTRAIN_SANITIZE)
  foreach(part few all input fused)
    add_test(NAME export.matrix_${part}
      COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tools/export_matrix.py
              --gtrain $<TARGET_FILE:gtrain> --python ${PROJECT_SOURCE_DIR}/.deps/venv/bin/python
              "$<$<STREQUAL:${part},few>:--few>"
              "$<$<STREQUAL:${part},input>:--encodings;input>"
              "$<$<STREQUAL:${part},fused>:--library;$<TARGET_FILE:gtrain_ops>>"
      COMMAND_EXPAND_LISTS)
    set_tests_properties(export.matrix_${part} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 7200)
  endforeach()
  set_tests_properties(export.matrix_few PROPERTIES LABELS unit)
  set_tests_properties(export.matrix_all export.matrix_input export.matrix_fused PROPERTIES
    LABELS "slow;long")
endif()
