# docs/examples/library: a program that trains and predicts through find_package(gtrain) gives what
# the program of gtrain gives for the same recipe.

include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

build_example(library ${prefix})
file(REMOVE_RECURSE ${WORK}/own ${WORK}/same)
run("graph 3: -?[0-9]" ${WORK}/library/own_training quickstart ${WORK}/own)
string(REGEX MATCH "graph 3: ([^\n]*)" _ "${run_output}")
file(WRITE ${WORK}/own.csv "3,${CMAKE_MATCH_1}\n")
run("" ${gtrain} train quickstart train.epochs=2 "train.schedule={name: constant}" repeat.seeds=[7]
       --run ${WORK}/same --quiet)
run("" ${gtrain} predict ${WORK}/same --split all --out ${WORK}/same.csv)
compare(${WORK}/same.csv ${WORK}/own/predictions.csv 642)
compare(${WORK}/same.csv ${WORK}/own.csv 1)
set(run_code 2)
run("nosuch: no such file, and no shipped recipe" ${WORK}/library/own_training nosuch)

# Another release of libtorch, or another minor version of gtrain, is refused by name.
set(run_code 1)
file(WRITE ${WORK}/torch/TorchConfig.cmake "set(TORCH_LIBRARIES torch)\nset(Torch_FOUND TRUE)\n")
file(WRITE ${WORK}/torch/TorchConfigVersion.cmake "set(PACKAGE_VERSION 1.2.3)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
file(REMOVE_RECURSE ${WORK}/refused)
run("libtorch 1.2.3 was found in" ${CMAKE_COMMAND} -S ${examples}/library -B ${WORK}/refused
    -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix} -DTorch_DIR=${WORK}/torch)
set(ENV{GTRAIN_LIBTORCH} ${WORK}/nowhere)
run("GTRAIN_LIBTORCH=${WORK}/nowhere: no[ \n]+share/cmake/Torch" ${CMAKE_COMMAND}
    -S ${examples}/library -B ${WORK}/refused/folder -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix})
unset(ENV{GTRAIN_LIBTORCH})
file(READ ${examples}/library/CMakeLists.txt text)
string(REPLACE "gtrain 0.1" "gtrain 0.2" text "${text}")
file(WRITE ${WORK}/refused/later/CMakeLists.txt "${text}")
file(WRITE ${WORK}/refused/later/main.cpp "int main() {}\n")
run("requested[ \n]+version \"0.2\"" ${CMAKE_COMMAND} -S ${WORK}/refused/later
    -B ${WORK}/refused/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix})
