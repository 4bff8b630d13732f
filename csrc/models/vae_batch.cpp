#include "models/vae_batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "isa/dispatch.hpp"
#include "models/vae_share.hpp"

namespace vemfast::models {

namespace {

using detail::kVaePad;
using detail::Likelihood;

// Products of fewer operations (a batch, forward and back) do not gain by a second thread.
constexpr double kWorthThreads = 8e6;
// What a thread takes at a time: rows to gather, rows of a layer, and of a layer whose weights have
// to be turned for it.
constexpr std::size_t kGathered = 8, kRows = 32, kRowsOfTurned = 64;

std::size_t rounded_up(std::size_t n, std::size_t step) {
    return (n + step - 1) / step * step;
}

double operations(const VaeNetwork& network, std::size_t rows) {
    double weights = 0;
    for (const auto* layers : {&network.encoder(), &network.decoder()}) {
        for (const Layer& layer : *layers)
            weights += static_cast<double>(layer.inputs) * static_cast<double>(layer.outputs);
    }
    return 6.0 * weights * static_cast<double>(rows);
}

}  // namespace

VaeBatch::VaeBatch(const VaeNetwork& network, const VaePanels& panels, std::size_t most_rows,
                   int n_threads, const Poll& poll)
    : network_(network),
      panels_(panels),
      kernels_(kernels().vae),
      poll_(poll),
      asked_(poll),
      most_rows_(most_rows),
      shares_(operations(network, most_rows) < kWorthThreads ? 1 : n_threads),
      chosen_(most_rows),
      ones_(most_rows, 1.0),
      spreads_(2 * most_rows * network.shape().n_components),
      latent_terms_(most_rows),
      densities_(most_rows),
      strips_(panels.decoder().back().strips * most_rows),
      fine_(static_cast<std::size_t>(shares_.most())) {
    const VaeShape& shape = network.shape();
    const std::size_t D = shape.n_features, Z = shape.n_components;
    const std::size_t scratch = scratch_floats();
    const std::size_t wide = rounded_up(D, kVaePad);

    std::size_t total = 0;
    const auto matrices = [&](std::size_t count, std::size_t width) {
        total += count * most_rows * rounded_up(width, kVaePad);
    };
    matrices(3, D);  // x, what the encoder sees of it, what is observed
    matrices(3, Z);  // z, its gradient, noise
    for (const auto* layers : {&panels.encoder(), &panels.decoder()}) {
        for (const PanelLayer& panel : *layers)
            matrices(3, panel.layer.outputs);
    }
    total += scratch * static_cast<std::size_t>(shares_.most()) + 3 * wide;
    memory_ = exec::allocate(total * sizeof(float));

    auto* at = static_cast<float*>(memory_.get());
    std::fill_n(at, total, 0.0F);
    x_ = padded(D, at);
    seen_ = padded(D, at);
    observed_ = padded(D, at);
    z_ = padded(Z, at);
    of_codes_ = padded(Z, at);
    noise_ = padded(Z, at);
    encoder_ = levels(panels.encoder(), at);
    decoder_ = levels(panels.decoder(), at);
    decoder_.back().of_sums = decoder_.back().out;  // the likelihood leaves it there
    const auto take = [&](std::size_t floats) {
        float* own = at;
        at += floats;
        return own;
    };
    scratch_ = take(scratch * static_cast<std::size_t>(shares_.most()));
    precisions_ = take(wide);
    normalisers_ = take(wide);
    of_log_variances_ = take(wide);
}

Padded VaeBatch::padded(std::size_t width, float*& at) const {
    const Padded found{at, rounded_up(width, kVaePad)};
    at += most_rows_ * found.ld;
    return found;
}

std::vector<VaeBatch::Level> VaeBatch::levels(const std::vector<PanelLayer>& layers,
                                              float*& at) const {
    std::vector<Level> found;
    for (const PanelLayer& panel : layers) {
        const std::size_t width = panel.layer.outputs;
        const Padded out = padded(width, at), slope = padded(width, at);
        found.push_back({panel, out, slope, padded(width, at)});
    }
    return found;
}

void VaeBatch::take(const std::vector<VaeRows>& blocks, const std::int64_t* order, std::size_t n) {
    chosen_.choose(blocks, order, n);
}

void VaeBatch::take(const VaeRows& block, std::size_t first, std::size_t n) {
    chosen_.choose(block, first, n);
}

void VaeBatch::encode(const float* weights) {
    exec::team(shares_, poll_, [&](Member& member) {
        gather(member, nullptr) && forward(member, encoder_, 0, encoder_.size(), seen(), weights);
    });
}

void VaeBatch::decode(const float* weights, const float* codes, std::size_t n) {
    chosen_.choose(n);
    exec::team(shares_, poll_, [&](Member& member) {
        set_codes(member, codes) && forward(member, decoder_, 0, decoder_.size(), z_, weights);
    });
}

void VaeBatch::score(const float* weights, const float* codes, bool with_gradient) {
    exec::team(shares_, poll_, [&](Member& member) {
        variances(member, weights);
        const bool scored = gather(member, nullptr) && set_codes(member, codes) &&
                            forward(member, decoder_, 0, decoder_.size() - 1, z_, weights) &&
                            likelihood(member, weights, ones_.data());
        if (!scored)
            return;
        add_densities(own_rows(member));
        if (with_gradient && down(member, decoder_, decoder_.size(), 1, weights))
            down_to_codes(member, weights);
    });
}

VaeSums VaeBatch::gradient(const VaePass& pass, const float* weights, float* gradient) {
    VaeSums found;
    exec::team(shares_, poll_, [&](Member& member) {
        if (!forward_and_back(member, pass, weights) || !member.barrier())
            return;
        by_weights(member, gradient, std::numeric_limits<float>::max());
        if (member.slot() == 0)
            found = sums();
    });
    return found;
}

VaeStepped VaeBatch::train(const VaePass& pass, const VaeStep& step) {
    VaeStepped found;
    exec::team(shares_, poll_, [&](Member& member) {
        if (!forward_and_back(member, pass, step.adam.weights))
            return;
        const float limit = largest_gradient();
        look_at_factors(member, step.gradient, limit);
        if (!member.barrier())
            return;
        const VaeSums sums = this->sums();  // a few numbers a row: each thread for itself
        if (member.slot() == 0)
            found.sums = sums;
        if (sums.weight <= 0 || !std::isfinite(sums.bound))
            return;
        const auto scale = static_cast<float>(1.0 / sums.weight);
        const bool sure = all_fine(member);
        bool fine = sure;
        if (!sure) {  // then the gradients must be seen before a weight is changed
            if (!member.barrier())
                return;
            by_weights(member, step.gradient, limit);
            if (!member.barrier())
                return;
            fine = all_fine(member);
        }
        if (member.slot() == 0)
            found.updated = fine;
        if (fine)
            change_weights(member, step, scale, sure);
    });
    return found;
}

bool VaeBatch::forward_and_back(Member& member, const VaePass& pass, const float* weights) {
    variances(member, weights);
    const std::size_t top = encoder_.size() - 1, last = decoder_.size() - 1;
    return gather(member, &pass) && forward(member, encoder_, 0, top, seen(), weights) &&
           through_codes(member, pass, weights) &&
           forward(member, decoder_, std::min<std::size_t>(last, 1), last, z_, weights) &&
           likelihood(member, weights, chosen_.weights()) &&
           down(member, decoder_, decoder_.size(), 1, weights) &&
           back_through_codes(member, pass, weights) &&
           (top < 2 || (member.barrier() && down(member, encoder_, top, 1, weights)));
}

RowRange VaeBatch::own_rows(const Member& member) const {
    const auto cut = [&](std::size_t at) {
        const std::size_t grain = kernels_.panel_rows;
        return at == rows() ? at : std::min(rows(), (at + grain / 2) / grain * grain);
    };
    return {cut(member.begin(rows())), cut(member.end(rows()))};
}

float* VaeBatch::scratch(const Member& member) const {
    return scratch_ + static_cast<std::size_t>(member.slot()) * scratch_floats();
}

// ---- rows and codes --------------------------------------------------------------------------

const Padded& VaeBatch::seen() const {
    return network_.shape().likelihood == Likelihood::poisson ? seen_ : x_;
}

bool VaeBatch::gather(Member& member, const VaePass* pass) {
    const VaeShape& shape = network_.shape();
    share(member, 1, rows(), kGathered, [&](std::size_t, std::size_t first, std::size_t end) {
        for (std::size_t i = first; i < end; ++i) {
            chosen_.copy(i, shape.n_features, x_.row(i), observed_.row(i));
            if (shape.likelihood == Likelihood::poisson)
                kernels_.log1p(x_.row(i), shape.n_features, seen_.row(i));
            if (pass != nullptr && !pass->rule.hard)
                detail::latent_noise(pass->seed, pass->iteration, chosen_.global_row(i),
                                     shape.n_components, noise_.row(i));
        }
    });
    return member.barrier();
}

bool VaeBatch::set_codes(Member& member, const float* codes) {
    const std::size_t Z = network_.shape().n_components;
    for (std::size_t i = member.begin(rows()); i < member.end(rows()); ++i)
        std::copy_n(codes + i * Z, Z, z_.row(i));
    return member.barrier();
}

bool VaeBatch::through_codes(Member& member, const VaePass& pass, const float* weights) {
    const std::size_t Z = network_.shape().n_components;
    const RowRange own = own_rows(member);
    rows_of_layer(layer_task(encoder_, encoder_.size() - 1, seen(), weights), own);
    for (std::size_t i = own.first; i < own.end; ++i)
        latent_terms_[i] = detail::latent_forward(pass.rule, encoded(i), noise_.row(i), Z,
                                                  z_.row(i), spreads_.data() + 2 * i * Z);
    if (decoder_.size() > 1)
        rows_of_layer(layer_task(decoder_, 0, z_, weights), own);
    return member.barrier();
}

bool VaeBatch::back_through_codes(Member& member, const VaePass& pass, const float* weights) {
    const std::size_t Z = network_.shape().n_components, top = encoder_.size() - 1;
    const RowRange own = own_rows(member);
    rows_of_inputs(member, inputs_task(decoder_, 0, weights), own);
    for (std::size_t i = own.first; i < own.end; ++i)
        detail::latent_backward(pass.rule, encoded(i), noise_.row(i), spreads_.data() + 2 * i * Z,
                                of_codes_.row(i), chosen_.weights()[i], Z,
                                encoder_[top].of_sums.row(i));
    add_densities(own);
    if (top > 0)
        rows_of_inputs(member, inputs_task(encoder_, top, weights), own);
    return true;
}

// ---- layers ----------------------------------------------------------------------------------

detail::LayerTask VaeBatch::layer_task(const std::vector<Level>& levels, std::size_t i,
                                       const Padded& input, const float* weights) const {
    const Level& level = levels[i];
    const Padded& h = i == 0 ? input : levels[i - 1].out;
    return {.h = h.data,
            .h_ld = h.ld,
            .inputs = level.panel.layer.inputs,
            .outputs = level.panel.layer.outputs,
            .coefs = weights + level.panel.coefs,
            .intercepts = weights + level.panel.intercepts,
            .activation =
                i + 1 == levels.size() ? detail::Activation::identity : network_.shape().activation,
            .out = level.out.data,
            .slope = level.slope.data,
            .ld = level.out.ld};
}

detail::InputsTask VaeBatch::inputs_task(const std::vector<Level>& levels, std::size_t i,
                                         const float* weights) const {
    const Level& level = levels[i];
    const Padded& to = i == 0 ? of_codes_ : levels[i - 1].of_sums;
    return {.gradient = level.of_sums.data,
            .gradient_ld = level.of_sums.ld,
            .inputs = level.panel.layer.inputs,
            .outputs = level.panel.layer.outputs,
            .coefs = weights + level.panel.coefs,
            .slope = i == 0 ? nullptr : levels[i - 1].slope.data,
            .out = to.data,
            .ld = to.ld};
}

void VaeBatch::rows_of_layer(const detail::LayerTask& task, RowRange range) const {
    const std::size_t columns = kernels_.panel_columns;
    for (std::size_t strip = 0; strip * columns < task.outputs; ++strip)
        kernels_.layer(task, strip, range.first, range.end);
}

void VaeBatch::rows_of_inputs(const Member& member, const detail::InputsTask& task,
                              RowRange range) const {
    const std::size_t columns = kernels_.panel_columns;
    for (std::size_t strip = 0; strip * columns < task.inputs; ++strip)
        kernels_.inputs(task, strip, range.first, range.end, scratch(member));
}

bool VaeBatch::forward(Member& member, const std::vector<Level>& levels, std::size_t first,
                       std::size_t last, const Padded& input, const float* weights) {
    const std::size_t piece = rows_of_a_share(member, rows(), kRows, kernels_.panel_rows);
    for (std::size_t i = first; i < last; ++i) {
        const detail::LayerTask own = layer_task(levels, i, input, weights);
        share(member, levels[i].panel.strips, rows(), piece,
              [&](std::size_t strip, std::size_t begin, std::size_t end) {
                  kernels_.layer(own, strip, begin, end);
              });
        if (!member.barrier())
            return false;
    }
    return true;
}

bool VaeBatch::down(Member& member, const std::vector<Level>& levels, std::size_t first,
                    std::size_t last, const float* weights) {
    const std::size_t columns = kernels_.panel_columns;
    const std::size_t piece = rows_of_a_share(member, rows(), kRowsOfTurned, kernels_.panel_rows);
    for (std::size_t i = first; i-- > last;) {
        const detail::InputsTask own = inputs_task(levels, i, weights);
        share(member, (own.inputs + columns - 1) / columns, rows(), piece,
              [&](std::size_t strip, std::size_t begin, std::size_t end) {
                  kernels_.inputs(own, strip, begin, end, scratch(member));
              });
        if (!member.barrier())
            return false;
    }
    return true;
}

bool VaeBatch::down_to_codes(Member& member, const float* weights) {
    rows_of_inputs(member, inputs_task(decoder_, 0, weights), own_rows(member));
    return member.barrier();
}

void VaeBatch::variances(Member& member, const float* weights) {
    const std::size_t n = panels_.n_variances(), D = network_.shape().n_features;
    if (n == 0)
        return;
    for (std::size_t d = member.begin(D); d < member.end(D); ++d) {
        const double own = weights[panels_.log_variances() + (n == 1 ? 0 : d)];
        precisions_[d] = static_cast<float>(std::exp(-own));
        normalisers_[d] = static_cast<float>(-0.5 * (std::log(2.0 * std::numbers::pi) + own));
    }
}

bool VaeBatch::likelihood(Member& member, const float* weights, const double* row_weights) {
    const VaeShape& shape = network_.shape();
    const std::size_t last = decoder_.size() - 1;
    const detail::LikelihoodTask own{.layer = layer_task(decoder_, last, z_, weights),
                                     .rows = rows(),
                                     .likelihood = shape.likelihood,
                                     .x = x_.data,
                                     .observed = chosen_.any_missing() ? observed_.data : nullptr,
                                     .weights = row_weights,
                                     .precisions = precisions_,
                                     .normalisers = normalisers_,
                                     .of_log_variances = of_log_variances_,
                                     .densities = strips_.data()};
    // The sums by the log variances are over all rows of a strip, in their order.
    const std::size_t piece = panels_.n_variances() > 0
                                  ? rows()
                                  : rows_of_a_share(member, rows(), kRows, kernels_.panel_rows);
    share(member, decoder_[last].panel.strips, rows(), piece,
          [&](std::size_t strip, std::size_t first, std::size_t end) {
              kernels_.likelihood(own, strip, first, end);
          });
    return member.barrier();
}

void VaeBatch::add_densities(RowRange range) {
    std::fill(densities_.begin() + static_cast<std::ptrdiff_t>(range.first),
              densities_.begin() + static_cast<std::ptrdiff_t>(range.end), 0.0);
    for (std::size_t strip = 0; strip < decoder_.back().panel.strips; ++strip) {
        for (std::size_t i = range.first; i < range.end; ++i)
            densities_[i] += strips_[strip * rows() + i];
    }
}

}  // namespace vemfast::models
