// One batch on its way through the networks and back, in memory that is allocated once.
//
// The threads of a team go through the stages together: rows are gathered, layers computed one
// after the other, gradients taken down again, and the weights changed. Wide layers are shared out
// by pieces of strips of weights, a thread beginning with the same ones in each step; around z,
// where layers are narrow, a thread takes its rows through several of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/memory.hpp"
#include "exec/team.hpp"
#include "isa/vae_kernels.hpp"
#include "models/vae.hpp"
#include "models/vae_panels.hpp"
#include "models/vae_rows.hpp"

namespace vemfast::models {

// A step of training: weights, gradient and what Adam remembers, in panels.
struct VaeStep {
    detail::AdamTask adam;  // all but gradient and scale
    float* gradient = nullptr;
    float least_log_variance = 0;
};

struct RowRange {
    std::size_t first, end;
};

struct VaeStepped {
    VaeSums sums;
    bool updated = false;
};

class VaeBatch {
  public:
    // For at most `most_rows` rows. `poll` must outlive it; it is asked at interruption points,
    // too.
    VaeBatch(const VaeNetwork& network, const VaePanels& panels, std::size_t most_rows,
             int n_threads, const Poll& poll);
    VaeBatch(const VaeBatch&) = delete;
    VaeBatch& operator=(const VaeBatch&) = delete;

    std::size_t rows() const { return chosen_.size(); }

    // Takes rows: those at these positions of the blocks, or the n from `first` of one block.
    void take(const std::vector<VaeRows>& blocks, const std::int64_t* order, std::size_t n);
    void take(const VaeRows& block, std::size_t first, std::size_t n);

    // q(z|x) of the rows that were taken, by weights in panels as everywhere here.
    void encode(const float* weights);
    const float* encoded(std::size_t row) const { return encoder_.back().out.row(row); }

    // The decoder's outputs for n rows of z (n_components).
    void decode(const float* weights, const float* codes, std::size_t n);
    const float* decoded(std::size_t row) const { return decoder_.back().out.row(row); }

    // log p(x|z) of the rows that were taken, and where asked for its gradient by z.
    void score(const float* weights, const float* codes, bool with_gradient);
    double log_density(std::size_t row) const { return densities_[row]; }
    const float* of_codes(std::size_t row) const { return of_codes_.row(row); }

    // The gradient of the rows' bounds, and their sums.
    VaeSums gradient(const VaePass& pass, const float* weights, float* gradient);
    // The same, and then a step of Adam, unless something is not finite.
    VaeStepped train(const VaePass& pass, const VaeStep& step);

  private:
    struct Level {
        PanelLayer panel;
        Padded out, slope;
        Padded of_sums;  // the gradient by the layer's sums
    };
    using Member = exec::Team;

    Padded padded(std::size_t width, float*& at) const;
    std::vector<Level> levels(const std::vector<PanelLayer>& layers, float*& at) const;
    const Padded& seen() const;  // what the encoder sees
    VaeSums sums() const;

    float* scratch(const Member& member) const;
    std::size_t scratch_floats() const;
    template <class Work>
    void for_each_layer(const Work& work) const;
    RowRange own_rows(const Member& member) const;
    detail::LayerTask layer_task(const std::vector<Level>& levels, std::size_t i,
                                 const Padded& input, const float* weights) const;
    // The gradient by what layer i of a network is given.
    detail::InputsTask inputs_task(const std::vector<Level>& levels, std::size_t i,
                                   const float* weights) const;
    void rows_of_layer(const detail::LayerTask& task, RowRange range) const;
    void rows_of_inputs(const Member& member, const detail::InputsTask& task, RowRange range) const;

    // Stages; those that end at a barrier return what it says.
    bool gather(Member& member, const VaePass* pass);
    bool set_codes(Member& member, const float* codes);
    // Layers first to last - 1 of a network.
    bool forward(Member& member, const std::vector<Level>& levels, std::size_t first,
                 std::size_t last, const Padded& input, const float* weights);
    // From the encoder's last layer to the decoder's first hidden one; and back.
    bool through_codes(Member& member, const VaePass& pass, const float* weights);
    bool back_through_codes(Member& member, const VaePass& pass, const float* weights);
    void variances(Member& member, const float* weights);
    bool likelihood(Member& member, const float* weights, const double* row_weights);
    void add_densities(RowRange range);
    // From the gradient by the sums of layer first - 1 down to those of layer last.
    bool down(Member& member, const std::vector<Level>& levels, std::size_t first, std::size_t last,
              const float* weights);
    bool down_to_codes(Member& member, const float* weights);
    bool forward_and_back(Member& member, const VaePass& pass, const float* weights);
    detail::WeightsTask weights_task(const Level& level, const Padded& input,
                                     float* gradient) const;
    std::size_t piece_of_weights(std::size_t inputs) const;
    float largest_gradient() const;
    bool all_fine(const Member& member) const;
    // Notes in fine_ whether the factors of the weights' gradients are so small, in this thread's
    // rows, that no gradient can reach the limit; makes the gradients by log variances.
    void look_at_factors(const Member& member, float* gradient, float limit);
    // Notes in fine_ whether all of this thread's gradients are below the limit.
    void by_weights(Member& member, float* gradient, float limit);
    bool of_variances(float* gradient, float limit);
    // Adam, with the gradients that by_weights made, or that are made on the way.
    void change_weights(Member& member, const VaeStep& step, float scale, bool gradients_too);

    const VaeNetwork& network_;
    const VaePanels& panels_;
    const VaeKernels& kernels_;
    const Poll& poll_;
    PollScope asked_;
    std::size_t most_rows_;
    exec::Shares shares_;

    exec::Memory memory_;
    Padded x_, seen_, observed_, z_, of_codes_, noise_;
    std::vector<Level> encoder_, decoder_;
    float* scratch_ = nullptr;  // a panel and a piece of a gradient a thread
    float* precisions_ = nullptr;
    float* normalisers_ = nullptr;
    float* of_log_variances_ = nullptr;

    ChosenRows chosen_;
    std::vector<double> ones_, spreads_, latent_terms_, densities_, strips_;
    std::vector<unsigned char> fine_;  // a thread each
};

}  // namespace vemfast::models
