# Tests that belong to no room: of the layout, the scripts and the installed package.

add_test(NAME architecture.layers
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR}
          -P ${PROJECT_SOURCE_DIR}/tests/architecture.cmake)
add_test(NAME architecture.control
  COMMAND ${CMAKE_COMMAND} -DWORK=${PROJECT_BINARY_DIR}/architecture
          -P ${PROJECT_SOURCE_DIR}/tests/architecture_control.cmake)
set_tests_properties(architecture.layers architecture.control PROPERTIES LABELS unit TIMEOUT 60)

# The converters need Python packages that gtrain itself does not: 77 says that they are not there.
# GTRAIN_PYTHON in the environment of CMake names an interpreter that has them.
find_program(gtrain_python NAMES $ENV{GTRAIN_PYTHON} python3)
if(gtrain_python)
  foreach(name folder from_smiles from_pyg windows)
    if(EXISTS ${PROJECT_SOURCE_DIR}/tests/convert/${name}_test.py)
      add_test(NAME convert.${name}
        COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tests/convert/${name}_test.py)
      set_tests_properties(convert.${name} PROPERTIES LABELS unit SKIP_RETURN_CODE 77 TIMEOUT 300)
    endif()
  endforeach()
endif()

if(gtrain_python)
  add_test(NAME tools.mutate_kernels
    COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tests/tools/mutate_kernels_test.py)
  set_tests_properties(tools.mutate_kernels PROPERTIES LABELS unit TIMEOUT 60)
endif()

# split_dict.py needs torch alone, which gtrain's own wheel has.
find_program(gtrain_torch_python NAMES ${PROJECT_SOURCE_DIR}/.deps/venv/bin/python python3)
if(gtrain_torch_python)
  add_test(NAME convert.split_dict COMMAND ${gtrain_torch_python} -B -W ignore
           ${PROJECT_SOURCE_DIR}/tests/convert/split_dict_test.py)
  set_tests_properties(convert.split_dict PROPERTIES LABELS unit SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()

# The library of operators in a process that knows nothing of gtrain.
if(gtrain_torch_python AND TARGET gtrain_ops AND NOT GTRAIN_SANITIZE)
  add_test(NAME script.python COMMAND ${gtrain_torch_python} -B -W ignore
           ${PROJECT_SOURCE_DIR}/tests/script/load_test.py $<TARGET_FILE:gtrain_ops>)
  set_tests_properties(script.python PROPERTIES LABELS unit SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()

find_program(gtrain_bash NAMES bash)
if(gtrain_bash AND EXISTS ${PROJECT_SOURCE_DIR}/tests/tools/setup_test.sh)
  add_test(NAME tools.setup COMMAND ${gtrain_bash} ${PROJECT_SOURCE_DIR}/tests/tools/setup_test.sh)
  set_tests_properties(tools.setup PROPERTIES LABELS unit TIMEOUT 60)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/install/install.cmake)

# Every shipped recipe against its data set's card: needs no data.
if(TARGET gtrain_train_test)
  add_test(NAME recipes COMMAND gtrain_train_test --gtest_filter=ShippedRecipe.*)
  set_tests_properties(recipes PROPERTIES LABELS recipe TIMEOUT 300
                       ENVIRONMENT OMP_NUM_THREADS=1)
endif()

# Two steps of every shipped recipe, on generated data.
if(TARGET gtrain AND gtrain_bash)
  add_test(NAME recipes.dry_run
    COMMAND ${CMAKE_COMMAND} -E env GTRAIN=$<TARGET_FILE:gtrain> GTRAIN_THREADS=1
            ${gtrain_bash} ${PROJECT_SOURCE_DIR}/tools/dry_run.sh)
  set_tests_properties(recipes.dry_run PROPERTIES LABELS "recipe;slow;long" TIMEOUT 1800)
endif()

# Tensors recorded from the reference implementations; the folder is no part of gtrain.
if(TARGET gtrain_golden AND gtrain_bash)
  add_test(NAME golden COMMAND ${gtrain_bash} -c [[
    cases=${GTRAIN_SHARED:-$1/../shared}/golden
    if [ ! -d "$cases" ]; then
      echo "skipped: no golden cases in $cases (GTRAIN_SHARED names another folder)"
      exit 77
    fi
    exec "$0" "$cases"]] $<TARGET_FILE:gtrain_golden> ${PROJECT_SOURCE_DIR})
  # The same by the page of tensor names, which has to give every tensor its place.
  add_test(NAME golden.names COMMAND ${gtrain_bash} -c [[
    cases=${GTRAIN_SHARED:-$1/../shared}/golden
    if [ ! -d "$cases" ]; then
      echo "skipped: no golden cases in $cases (GTRAIN_SHARED names another folder)"
      exit 77
    fi
    exec "$0" --names "$1/docs/parameters.md" "$cases"]]
    $<TARGET_FILE:gtrain_golden> ${PROJECT_SOURCE_DIR})
  set_tests_properties(golden golden.names PROPERTIES
    LABELS golden SKIP_RETURN_CODE 77 TIMEOUT 1200)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/deploy/export.cmake)

# Runs killed at random moments end as if nothing had happened.
if(TARGET gtrain AND gtrain_python)
  add_test(NAME train.kill
    COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tools/kill_test.py
            --gtrain $<TARGET_FILE:gtrain> --runs 4 --seed 1)
  set_tests_properties(train.kill PROPERTIES LABELS slow TIMEOUT 600)
endif()

# CUDA kernels, executed on the emulator; the real thread sanitizer cannot follow its fibers.
if(NOT GTRAIN_SANITIZE MATCHES "thread")
  include(GtrainSimt)
  gtrain_simt_tests()
endif()

# What nvcc makes of the CUDA kernels, where there is one (77: there is none).
if(gtrain_python)
  add_test(NAME tools.kernel_gates COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tools/kernel_report.py --control)
  add_test(NAME cuda.kernel_report COMMAND ${gtrain_python} -B ${PROJECT_SOURCE_DIR}/tools/kernel_report.py --check)
  set_tests_properties(tools.kernel_gates PROPERTIES LABELS unit SKIP_RETURN_CODE 77 TIMEOUT 300)
  set_tests_properties(cuda.kernel_report PROPERTIES LABELS slow SKIP_RETURN_CODE 77 TIMEOUT 1800)
endif()
