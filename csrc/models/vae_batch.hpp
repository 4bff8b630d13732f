// One batch on its way through the networks and back, in memory that is allocated once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/memory.hpp"
#include "isa/vae_kernels.hpp"
#include "models/vae.hpp"

namespace vemfast::models {

// A matrix of floats whose rows are padded (see vae_task.hpp).
struct Padded {
    float* data = nullptr;
    std::size_t ld = 0;
    float* row(std::size_t i) const { return data + i * ld; }
};

class VaeBatch {
  public:
    // For at most `most_rows` rows. `poll` must outlive it.
    VaeBatch(const VaeNetwork& network, std::size_t most_rows, int n_threads, const Poll& poll);
    VaeBatch(const VaeBatch&) = delete;
    VaeBatch& operator=(const VaeBatch&) = delete;

    std::size_t rows() const { return rows_; }

    // Takes n rows: those at these positions of the blocks, or the n from `first` of one block.
    void gather(const std::vector<VaeRows>& blocks, const std::int64_t* order, std::size_t n);
    void gather(const VaeRows& block, std::size_t first, std::size_t n);
    // Takes n rows of z (n_components), and no x.
    void take_codes(const float* z, std::size_t n);

    void encode(const float* weights);
    const float* encoded(std::size_t row) const { return encoder_.back().out.row(row); }

    // z from the encoder's outputs.
    void draw(const VaePass& pass);
    // z as given.
    void set_codes(const float* z);

    void decode(const float* weights);
    const float* decoded(std::size_t row) const { return decoder_.back().out.row(row); }
    // As decode, but for the last layer, whose place log p(x|z) and its gradient take.
    void score(const float* weights, bool weighted);
    double log_density(std::size_t row) const;

    // The gradient by z, after score(); with `gradient`, also those by the decoder's weights.
    void backward_decoder(const float* weights, float* gradient);
    const float* of_codes(std::size_t row) const { return of_codes_.row(row); }
    // The gradients by the encoder's weights, after that.
    void backward_encoder(const float* weights, const VaePass& pass, float* gradient);

    // The weighted sums over the rows, after draw() and score().
    VaeSums sums() const;

    // Whether every number of the gradient is below the limit; a step of Adam. Both in parallel.
    bool below(const float* gradient, float limit);
    void adam(const detail::AdamTask& task);

  private:
    struct Level {
        Layer layer;
        Padded out, slope;
    };

    const VaeRows* locate(std::int64_t position, std::size_t& row) const;
    void gather_row(const VaeRows& block, std::size_t row, std::size_t i);
    void finish_gather();
    std::vector<Level> levels(const std::vector<Layer>& layers, float*& at) const;
    Padded padded(std::size_t width, float*& at) const;

    void pack(const Padded& from, std::size_t width);
    void forward(std::vector<Level>& levels, std::size_t last, const Padded& input,
                 const float* weights);
    void layer(Level& level, const Padded& input, const float* weights, bool is_last);
    // From the gradient by the outputs of a layer (in `of_out`): those by its weights, where
    // `gradient` is not null, and by its inputs, where `of_in` has data.
    void backward(const Level& level, const Padded& input, const Padded* slope,
                  const Padded& of_out, const Padded& of_in, const float* weights, float* gradient);
    template <class Work>
    void parallel(std::size_t n, const Work& work);

    const VaeNetwork& network_;
    const VaeKernels& kernels_;
    const Poll& poll_;
    std::size_t most_rows_;
    int n_threads_;
    std::size_t rows_ = 0;

    exec::Memory memory_;
    Padded x_, seen_, observed_, z_, of_codes_, of_encoded_, noise_, of_sums_[2];
    std::vector<Level> encoder_, decoder_;
    float* packed_left_ = nullptr;   // h or G, rows down
    float* packed_other_ = nullptr;  // h transposed
    float* panels_ = nullptr;        // one a slot
    float* precisions_ = nullptr;
    float* normalisers_ = nullptr;
    float* of_log_variances_ = nullptr;

    const std::vector<VaeRows>* blocks_ = nullptr;
    std::vector<std::int64_t> first_of_block_;
    std::vector<double> weights_, ones_, latent_terms_, densities_, strips_;
    std::vector<std::uint64_t> global_rows_;
    std::vector<unsigned char> has_missing_;
    bool any_missing_ = false;
};

}  // namespace vemfast::models
