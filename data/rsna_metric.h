// The metric of the RSNA 2022 competition: weighted multi-label log loss, normalized per exam.
//   loss = mean over exams of  sum_j w_ij * -log p(y_ij) / sum_j w_ij
// with weights 14 (positive) and 7 (negative) for patient_overall, 2 and 1 for each of C1..C7.
#pragma once
#include <array>
#include <span>

namespace sagitta::data {

// One exam, in the order of kLabelNames: truth 0 or 1, and probabilities.
struct ExamPrediction {
  std::array<float, 8> truth{};
  std::array<float, 8> probability{};
};

// The weights w_ij / sum_j w_ij of one exam's labels, whose sum is 1.
std::array<double, 8> exam_weights(const std::array<float, 8>& truth);

// Probabilities are clipped to [1e-15, 1 - 1e-15]. NaN without exams.
double rsna_log_loss(std::span<const ExamPrediction> exams);

// The constant probability per label that minimizes the loss on these exams: the baseline that a model has to
// beat. It is the mean of the truth, weighted by each exam's normalized weight.
std::array<float, 8> best_constant(std::span<const ExamPrediction> exams);

}  // namespace sagitta::data
