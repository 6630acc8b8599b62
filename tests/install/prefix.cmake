# Installs into a prefix, moves it, and uses it from there; the program says in a sentence where
# libtorch is missing, of another version, or not where the user says. Trains the run that the other
# scripts use.

include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run("" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${prefix})
run("freesolv" ${gtrain} list datasets)
run("quickstart" ${gtrain} list recipes)
run("torch +[0-9.]+ from ${TORCH}/lib" ${gtrain} doctor)
run("shipped +${prefix}/share/gtrain" ${gtrain} doctor)

# Of a place of the user's, by its folder and by its lib/.
file(CREATE_LINK ${TORCH} ${WORK}/elsewhere SYMBOLIC)
foreach(folder ${WORK}/elsewhere ${WORK}/elsewhere/lib)
  set(ENV{GTRAIN_LIBTORCH} ${folder})
  run("gtrain [0-9.]+" ${gtrain} --version)
endforeach()

set(run_code 2)
set(ENV{GTRAIN_LIBTORCH} ${WORK}/nowhere)
run("GTRAIN_LIBTORCH=${WORK}/nowhere: no libtorch_cpu.so in it" ${gtrain} --version)
unset(ENV{GTRAIN_LIBTORCH})
unset(run_code)

# A library of that name that calls itself 1.2.3.
run("" ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/other -B ${WORK}/other -G ${GENERATOR})
run("" ${CMAKE_COMMAND} --build ${WORK}/other)
set(run_code 2)
set(ENV{GTRAIN_LIBTORCH} ${WORK}/other)
run("is libtorch 1.2.3.*built with libtorch [0-9.]+ from ${TORCH}" ${gtrain} --version)
unset(ENV{GTRAIN_LIBTORCH})
set(ENV{LD_LIBRARY_PATH} ${WORK}/other)
run("${WORK}/other/libtorch_cpu.so: is libtorch 1.2.3" ${gtrain} doctor)
unset(ENV{LD_LIBRARY_PATH})

# None at all: the program as it is on a machine that the build's libtorch is not on.
file(COPY ${gtrain} DESTINATION ${WORK}/bare/bin)
file(RPATH_CHANGE FILE ${WORK}/bare/bin/gtrain
     OLD_RPATH "$ORIGIN/../lib:${TORCH}/lib" NEW_RPATH "$ORIGIN/../lib")
run("libtorch_cpu.so: cannot open shared object file.*export GTRAIN_LIBTORCH=" ${WORK}/bare/bin/gtrain)
# And without the program's own library, or one that this needs.
set(ENV{GTRAIN_LIBTORCH} ${TORCH})
run("libgtrain_program.so: cannot open shared object file" ${WORK}/bare/bin/gtrain)
unset(ENV{GTRAIN_LIBTORCH})
unset(run_code)

run("" ${gtrain} train quickstart train.epochs=2 train.schedule.warmup=0 model.width=16 model.layers=2
       "model.encoders[0].dim=4" --run ${WORK}/run --quiet)
run("" ${gtrain} predict ${WORK}/run --split all --out ${WORK}/predict.csv)
run("" ${gtrain} export ${WORK}/run --out ${WORK}/model.pt)
run("" ${gtrain} export ${WORK}/run --encodings input --out ${WORK}/input.pt)
message(STATUS "installed, moved and run")
