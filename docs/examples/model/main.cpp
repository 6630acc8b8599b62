// gtrain with one model more: every command, every recipe key and every exported file as of gtrain
// itself, and recipes may say model: {name: diffusion, …}.
//   own_model train recipe.yaml --run runs/diffusion
//   own_model export runs/diffusion --out diffusion.pt
#include "diffusion.h"
#include "gtrain/cli/entry.h"

int main(int argc, char** argv) {
  gtrain::models::Zoo zoo = gtrain::models::zoo();
  zoo.add(gtrain::models::entry<own::DiffusionOptions>("Chien et al. 2021", "not yet"));
  return gtrain::cli::run_main(argc, argv, zoo);
}
