# docs/examples/model: a model from outside the tree is listed, explained, validated, trained, gone on
# with, predicted with and exported, and its exported file gives the same numbers without it.

include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

build_example(model ${prefix})
set(own ${WORK}/model/own_model)
set(recipe ${examples}/model/recipe.yaml)
run("diffusion +Chien et al. 2021" ${own} list models)
run("longest walk" ${own} explain diffusion)
run("ok, [0-9]+ parameters, 642 graphs" ${own} validate ${recipe})
set(run_code 2)
run("model.stps=3: unknown key .did you mean steps" ${own} validate ${recipe} model.stps=3)
run("unknown value diffusion.*known: gps" ${gtrain} validate ${recipe})
unset(run_code)

file(REMOVE_RECURSE ${WORK}/diffusion ${WORK}/fine_tuned)
run("" ${own} train ${recipe} train.epochs=2 --run ${WORK}/diffusion --quiet)
run("" ${own} resume ${WORK}/diffusion --quiet)
run("rmse" ${own} eval ${WORK}/diffusion)
run("" ${own} predict ${WORK}/diffusion --split all --out ${WORK}/diffusion.csv)
run("" ${own} train ${recipe} train.epochs=1 init={from:\ ${WORK}/diffusion,\ fresh:\ [head]}
       --run ${WORK}/fine_tuned --quiet)
run("compared on" ${own} export ${WORK}/diffusion --out ${WORK}/diffusion.pt)
set(run_code 2)
run("unknown value diffusion" ${gtrain} predict ${WORK}/diffusion --out ${WORK}/none.csv)
unset(run_code)
# Its exported file needs nothing of it.
run("" ${gtrain} predict ${WORK}/diffusion.pt --data freesolv --split all --out ${WORK}/plain.csv)
compare(${WORK}/diffusion.csv ${WORK}/plain.csv 642)
if(EXISTS ${WORK}/cpp/exported_model)
  run("" ${WORK}/cpp/exported_model ${WORK}/diffusion.pt ${WORK}/raw)
  file(WRITE ${WORK}/cpp/diffusion.csv "${run_output}")
  compare(${WORK}/diffusion.csv ${WORK}/cpp/diffusion.csv 642)
endif()
