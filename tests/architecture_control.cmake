# The control of the layer test: small trees with one wrong include each must be refused for that
# include, and the same tree without it must pass. A test that never fails tests nothing.
#
#   cmake -DWORK=<scratch folder> -P tests/architecture_control.cmake

cmake_minimum_required(VERSION 3.25)
set(script ${CMAKE_CURRENT_LIST_DIR}/architecture.cmake)

function(lay_out tree)
  file(REMOVE_RECURSE ${tree})
  file(WRITE ${tree}/CMakeLists.txt
    "# gtrain_room(base DEPENDS nn USES torch) in a comment counts for nothing\n"
    "gtrain_room(base          USES fmt)\n"
    "gtrain_room(ops SHARED    USES torch)\n"
    "gtrain_room(nn   DEPENDS base ops\n                  USES fmt torch)\n"
    "gtrain_room(train DEPENDS nn USES torch)\n")
  file(WRITE ${tree}/HACKING.md
    "| room | its job | may include |\n| `base` | errors | nothing |\n| `ops` | kernels | nothing |\n"
    "| `nn` | layers | base ops |\n| `train` | runs | nn |\n")
  file(WRITE ${tree}/include/gtrain/base/error.h "#include <string>\n")
  file(WRITE ${tree}/include/gtrain/nn/layer.h
    "#include \"gtrain/base/error.h\"\n#include <ATen/core/Tensor.h>\n// #include <boost/any.hpp>\n")
  file(WRITE ${tree}/src/nn/layer.cpp
    "#include \"gtrain/nn/layer.h\"\n#include \"nn/detail/rows.h\"\n#include <vector>\n")
endfunction()

function(run tree result output)
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${tree} -P ${script}
                  RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  set(${result} ${code} PARENT_SCOPE)
  # CMake wraps its messages.
  string(REGEX REPLACE "[ \n]+" " " text "${out}${err}")
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

function(expect_refused file line expected)
  lay_out(${WORK}/tree)
  file(APPEND ${WORK}/tree/${file} "${line}\n")
  expect_message("${line} in ${file}" "${expected}")
endfunction()

function(expect_message what expected)
  run(${WORK}/tree code text)
  string(FIND "${text}" "${expected}" at)
  if(code EQUAL 0 OR at EQUAL -1)
    message(FATAL_ERROR "${what}: expected to be refused with\n  ${expected}\n"
                        "got exit ${code} and\n  ${text}")
  endif()
endfunction()

lay_out(${WORK}/tree)
run(${WORK}/tree code text)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "the good tree was refused:\n${text}")
endif()

expect_refused(src/base/log.cpp "#include \"gtrain/nn/layer.h\""
               "src/base/log.cpp: gtrain/nn/layer.h: base may include only base")
expect_refused(include/gtrain/base/error.h "#  include <torch/torch.h>"
               "torch/torch.h: base does not use torch")
expect_refused(src/ops/cpu/gemm.cpp "#include \"gtrain/base/error.h\""
               "gtrain/base/error.h: ops may include only ops")
expect_refused(src/train/run.cpp "#include \"gtrain/base/error.h\""
               "gtrain/base/error.h: train may include only train;nn")
expect_refused(src/train/run.cpp "#include <fmt/format.h>" "fmt/format.h: train does not use fmt")
expect_refused(src/train/run.cpp "#include \"nn/detail/rows.h\"" "a private header of another room")
expect_refused(src/util/misc.cpp "" "no gtrain_room(util")
expect_refused(CMakeLists.txt "gtrain_room(low DEPENDS high)" "low depends on high")

lay_out(${WORK}/tree)
file(WRITE ${WORK}/tree/HACKING.md
  "| `base` | errors | all above |\n| `ops` | kernels | nothing |\n| `nn` | layers | base |\n")
expect_message("a wrong row" "HACKING.md: nn may include: base. CMakeLists.txt says: base ops")
expect_message("a missing row" "HACKING.md: train may include: no row. CMakeLists.txt says: nn")
file(REMOVE_RECURSE ${WORK}/tree)
message(STATUS "the layer test refuses what it should")
