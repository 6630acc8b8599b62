# docs/examples/cpp, built with libtorch alone, gives the numbers of gtrain predict on the whole data
# set, in batches of several sizes.

include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

build_example(cpp ${TORCH})
file(REMOVE_RECURSE ${WORK}/raw)
file(COPY ${prefix}/share/gtrain/datasets/freesolv/raw DESTINATION ${WORK})
file(GLOB files ${WORK}/raw/*.gz)
run("" gzip -d ${files})
foreach(size 1 7 256)
  run("" ${WORK}/cpp/exported_model ${WORK}/model.pt ${WORK}/raw ${size})
  file(WRITE ${WORK}/cpp/${size}.csv "${run_output}")
  compare(${WORK}/predict.csv ${WORK}/cpp/${size}.csv 642)
endforeach()
set(run_code 1)
run("num-node-list.csv: cannot be read" ${WORK}/cpp/exported_model ${WORK}/model.pt ${WORK}/nowhere)
file(COPY ${WORK}/raw DESTINATION ${WORK}/cpp)
file(APPEND ${WORK}/cpp/raw/node-feat.csv "0.5,1\n")
run("node-feat.csv: holds more than integers" ${WORK}/cpp/exported_model ${WORK}/model.pt
    ${WORK}/cpp/raw)
run("nothing.pt" ${WORK}/cpp/exported_model ${WORK}/nothing.pt ${WORK}/raw)
