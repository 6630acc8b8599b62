# Installs a build into a scratch prefix, moves the prefix, and uses it from there: the program must
# find its libraries and recipes, and the consumer beside this file must configure, build and run.
#
#   cmake -DBUILD=<build tree> -DWORK=<scratch folder> -DGENERATOR=<generator> -P run.cmake

cmake_minimum_required(VERSION 3.25)

function(run expected)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "exit ${code}: ${ARGN}\n${out}\n${err}")
  endif()
  if(NOT out MATCHES "${expected}")
    message(FATAL_ERROR "${ARGN}\nprinted\n${out}\nexpected\n${expected}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
unset(ENV{GTRAIN_SHARE})
unset(ENV{LD_LIBRARY_PATH})
unset(ENV{DESTDIR})
set(ENV{GTRAIN_CACHE} ${WORK}/cache)

run("" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/prefix)
run("freesolv" ${WORK}/prefix/bin/gtrain list datasets)
run("quickstart" ${WORK}/prefix/bin/gtrain list recipes)

run("" ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK}/build -G ${GENERATOR}
       -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_BUILD_TYPE=Release)
run("" ${CMAKE_COMMAND} --build ${WORK}/build)
run("graphs 642 models [1-9][0-9]* components 2" ${WORK}/build/consumer ${WORK}/prefix/share/gtrain)
file(REMOVE_RECURSE ${WORK})
message(STATUS "installed, moved, found, linked and run")
