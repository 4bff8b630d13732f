// The weights' half of a batch: their gradients, and the steps along them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "models/vae_batch.hpp"
#include "models/vae_share.hpp"

namespace vemfast::models {

namespace {

// Of a row: Adam squares it in single precision.
constexpr double kLargestGradient = 1e18;
// What a thread takes at a time of weights; the strip of the gradient has to be packed for it.
constexpr std::size_t kRowsOfWeights = 200;

}  // namespace

std::size_t VaeBatch::scratch_floats() const {
    const std::size_t step = (kRowsOfWeights + kernels_.panel_rows) * kernels_.panel_columns;
    return (kernels_.panel_floats + step + 15) / 16 * 16;
}

template <class Work>
void VaeBatch::for_each_layer(const Work& work) const {
    for (std::size_t i = 0; i < encoder_.size(); ++i)
        work(encoder_[i], i == 0 ? seen() : encoder_[i - 1].out);
    for (std::size_t i = 0; i < decoder_.size(); ++i)
        work(decoder_[i], i == 0 ? z_ : decoder_[i - 1].out);
}

detail::WeightsTask VaeBatch::weights_task(const Level& level, const Padded& input,
                                           float* gradient) const {
    return {.h = input.data,
            .h_ld = input.ld,
            .rows = rows(),
            .inputs = level.panel.layer.inputs,
            .gradient = level.of_sums.data,
            .ld = level.of_sums.ld,
            .of_coefs = gradient + level.panel.coefs,
            .of_intercepts = gradient + level.panel.intercepts};
}

std::size_t VaeBatch::piece_of_weights(std::size_t inputs) const {
    return rows_of_a_piece(inputs, kRowsOfWeights, kernels_.panel_rows);
}

float VaeBatch::largest_gradient() const {
    double weight = 0;
    for (std::size_t i = 0; i < rows(); ++i)
        weight += chosen_.weights()[i];
    return static_cast<float>(std::min(kLargestGradient * weight,
                                       static_cast<double>(std::numeric_limits<float>::max())));
}

bool VaeBatch::all_fine(const Member& member) const {
    return std::all_of(fine_.begin(), fine_.begin() + member.size(),
                       [](unsigned char own) { return own != 0; });
}

void VaeBatch::look_at_factors(const Member& member, float* gradient, float limit) {
    // A sum over rows of products of two numbers below this is below the limit.
    const float most = 0.5F * std::sqrt(limit / static_cast<float>(rows()));
    const RowRange own = own_rows(member);
    bool fine = most >= 1;
    for_each_layer([&](const Level& level, const Padded& input) {
        for (const Padded* factor : {&input, &level.of_sums})
            fine = fine &&
                   kernels_.below(factor->data, own.first * factor->ld, own.end * factor->ld, most);
    });
    if (member.slot() == 0 && panels_.n_variances() > 0)
        fine = of_variances(gradient + panels_.log_variances(), limit) && fine;
    fine_[static_cast<std::size_t>(member.slot())] = fine ? 1 : 0;
}

void VaeBatch::by_weights(Member& member, float* gradient, float limit) {
    const std::size_t columns = kernels_.panel_columns;
    bool fine = true;
    for_each_layer([&](const Level& level, const Padded& input) {
        const detail::WeightsTask own = weights_task(level, input, gradient);
        share(member, level.panel.strips, own.inputs, piece_of_weights(own.inputs),
              [&](std::size_t strip, std::size_t first, std::size_t end) {
                  kernels_.weights(own, strip, first, end, scratch(member));
                  // Looked at while it is in the cache.
                  const std::size_t row = strip * own.inputs;
                  fine = fine && kernels_.below(own.of_coefs, (row + first) * columns,
                                                (row + end) * columns, limit);
                  if (first == 0)
                      fine = fine && kernels_.below(own.of_intercepts, strip * columns,
                                                    (strip + 1) * columns, limit);
              });
    });
    if (member.slot() == 0 && panels_.n_variances() > 0)
        fine = of_variances(gradient + panels_.log_variances(), limit) && fine;
    fine_[static_cast<std::size_t>(member.slot())] = fine ? 1 : 0;
}

bool VaeBatch::of_variances(float* gradient, float limit) {
    const std::size_t n = panels_.n_variances();
    if (n > 1) {
        std::copy_n(of_log_variances_, n, gradient);
    } else {
        double total = 0;
        for (std::size_t d = 0; d < network_.shape().n_features; ++d)
            total += of_log_variances_[d];
        gradient[0] = static_cast<float>(total);
    }
    return kernels_.below(gradient, 0, n, limit);
}

VaeSums VaeBatch::sums() const {
    VaeSums sums;
    for (std::size_t i = 0; i < rows(); ++i) {
        sums.bound += chosen_.weights()[i] * (densities_[i] + latent_terms_[i]);
        sums.weight += chosen_.weights()[i];
    }
    return sums;
}

void VaeBatch::change_weights(Member& member, const VaeStep& step, float scale,
                              bool gradients_too) {
    detail::StepTask task;
    task.adam = step.adam;
    task.adam.gradient = step.gradient;
    task.adam.scale = scale;
    const std::size_t columns = kernels_.panel_columns;
    for_each_layer([&](const Level& level, const Padded& input) {
        const PanelLayer& panel = level.panel;
        const std::size_t inputs = panel.layer.inputs;
        task.layer = weights_task(level, input, step.gradient);
        task.coefs = panel.coefs;
        task.intercepts = panel.intercepts;
        share(member, panel.strips, inputs, piece_of_weights(inputs),
              [&](std::size_t strip, std::size_t first, std::size_t end) {
                  if (gradients_too) {
                      float* const own = scratch(member);
                      kernels_.step(task, strip, first, end, own, own + kernels_.panel_floats);
                      return;
                  }
                  const std::size_t row = strip * inputs;
                  kernels_.adam(task.adam, panel.coefs + (row + first) * columns,
                                panel.coefs + (row + end) * columns);
                  if (first == 0)
                      kernels_.adam(task.adam, panel.intercepts + strip * columns,
                                    panel.intercepts + (strip + 1) * columns);
              });
    });
    if (member.slot() > 0 || panels_.n_variances() == 0)
        return;
    const std::size_t first = panels_.log_variances(), end = first + panels_.n_variances();
    kernels_.adam(task.adam, first, end);
    float* const weights = task.adam.weights;
    for (std::size_t i = first; i < end; ++i)
        weights[i] = std::max(weights[i], step.least_log_variance);
}

}  // namespace vemfast::models
