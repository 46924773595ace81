// train_vit: trains or fine-tunes a vision transformer on sagittal slices.
#include "apps/train/train_app.h"

int main(int argc, char** argv) {
  return sagitta::apps::train_main(
      {.name = "train_vit",
       .description = "Trains a vision transformer (ViT) to find fractures of C1..C7 in sagittal CT slices.\n"
                      "Start:  train_vit --data DIR --out RUN [--recipe NAME] [--weights HF_DIR]\n"
                      "Go on:  train_vit --resume RUN",
       .default_arch = "vit-base-patch16-224",
       .arch_prefix = "vit-"},
      argc, argv);
}
