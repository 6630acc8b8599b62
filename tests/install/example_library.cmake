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
