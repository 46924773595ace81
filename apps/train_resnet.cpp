// train_resnet: trains or fine-tunes a ResNet on sagittal slices.
#include "apps/train/train_app.h"

int main(int argc, char** argv) {
  return sagitta::apps::train_main(
      {.name = "train_resnet",
       .description = "Trains a ResNet to find fractures of C1..C7 in sagittal CT slices.\n"
                      "Start:  train_resnet --data DIR --out RUN [--recipe NAME] [--weights HF_DIR]\n"
                      "Go on:  train_resnet --resume RUN",
       .default_arch = "resnet-50",
       .arch_prefix = "resnet-"},
      argc, argv);
}
