# What the scripts beside this file share. Each of them is given
#   BUILD      the build tree of gtrain
#   WORK       the scratch folder of all of them: WORK/prefix is a prefix that was installed elsewhere
#              and moved there (prefix.cmake), WORK/run a run trained in it
#   GENERATOR  of CMake, for the examples
#   TORCH      the folder of the libtorch that gtrain was built with

cmake_minimum_required(VERSION 3.25)

unset(ENV{GTRAIN_SHARE})
unset(ENV{GTRAIN_DATA})
unset(ENV{GTRAIN_LIBTORCH})
unset(ENV{LD_LIBRARY_PATH})
unset(ENV{DESTDIR})
set(ENV{GTRAIN_CACHE} ${WORK}/cache)
set(ENV{OMP_NUM_THREADS} 1)
set(prefix ${WORK}/prefix)
set(gtrain ${prefix}/bin/gtrain)
set(examples ${prefix}/share/doc/gtrain/examples)

# run(EXPECTED command…): exits with `run_code` (0 unless set) and prints EXPECTED, a regular
# expression, on stdout or stderr. Leaves stdout in run_output.
function(run expected)
  set(wanted 0)
  if(DEFINED run_code)
    set(wanted ${run_code})
  endif()
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT code STREQUAL wanted)
    message(FATAL_ERROR "exit ${code}, expected ${wanted}: ${ARGN}\n${out}\n${err}")
  endif()
  if(NOT "${out}${err}" MATCHES "${expected}")
    message(FATAL_ERROR "${ARGN}\nprinted\n${out}${err}\nexpected\n${expected}")
  endif()
  set(run_output "${out}" PARENT_SCOPE)
endfunction()

# Configures and builds an installed example against `where` (a CMAKE_PREFIX_PATH), below WORK/NAME.
function(build_example name where)
  file(REMOVE_RECURSE ${WORK}/${name})
  run("" ${CMAKE_COMMAND} -S ${examples}/${name} -B ${WORK}/${name} -G ${GENERATOR}
         -DCMAKE_PREFIX_PATH=${where} -DCMAKE_BUILD_TYPE=Release)
  run("" ${CMAKE_COMMAND} --build ${WORK}/${name})
endfunction()

# compare(FIRST SECOND ROWS): two CSV files of predictions (a header line is skipped) agree by row.
function(compare first second rows)
  execute_process(COMMAND awk -F, -v wanted=${rows} [[
    function size(v) { return v < 0 ? -v : v }
    $1 !~ /^[0-9]+$/ { next }
    NR == FNR { one[$1] = $2; next }
    {
      ++seen
      if (!($1 in one)) { print "row " $1 " is in one file alone"; exit 1 }
      gap = size($2 - one[$1])
      scale = size(one[$1]) > 1 ? size(one[$1]) : 1
      if (!(gap <= 1e-5 * scale)) { print "row " $1 ": " $2 " against " one[$1]; exit 1 }
      if (gap / scale > worst) worst = gap / scale
    }
    END { if (seen != wanted) { print seen + 0 " rows, expected " wanted; exit 1 }
          print seen " rows agree to " worst + 0 }]] ${first} ${second}
    RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${first} and ${second} differ: ${out}${err}")
  endif()
  message(STATUS "${out}")
endfunction()
