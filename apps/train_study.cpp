// train_study: trains a model of whole studies on the features of trained slice models.
#include "apps/study/study_app.h"

int main(int argc, char** argv) { return sagitta::apps::train_study_main(argc, argv); }
