// A pass of the minibatch schedule over latent Dirichlet allocation, by the words that occur.
//
// After a batch of documents the statistics are (1 - rate) of what they were plus a share of the
// batch's. Kept as factor times a table, their decay is one product, and only the rows of the
// batch's words change; the E-step reads no other rows of the topics, and their sums over all words
// are kept. So a batch costs as much as its documents, whatever the vocabulary. The numbers are
// those of update, e_step and blended statistics, to rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/memory.hpp"
#include "models/lda.hpp"

namespace vemfast::models {

class VEMFAST_API LdaOnline {
  public:
    // From parameters and the statistics of all documents; both are copied, the model is not. The
    // rule is point, with a prior above one, or posterior; the prior of the topics is not learned.
    LdaOnline(const LatentDirichlet& model, ParameterRule rule, const double* params,
              const double* stats, int n_threads, const Poll& poll);

    // Updates the parameters, scores a batch by them, and blends its statistics in: times `scale`,
    // with the share `rate`. `params` (null: not wanted) are those that the batch is scored by.
    // After an exception the object is of no more use.
    void batch(const detail::Documents& documents, const LdaPass& pass, double scale, double rate,
               const Poll& poll, double* params);

    // The blended statistics.
    void stats(int n_threads, const Poll& poll, double* out) const;

    std::size_t params_size() const { return model_.params_size(); }
    std::size_t stats_size() const { return model_.stats_size(); }

  private:
    void find_words(const detail::Documents& documents);
    void fill_table(int n_threads, const Poll& poll);
    void blend(double scale, double rate, int n_threads, const Poll& poll);
    void multiply_out(int n_threads, const Poll& poll, double* out) const;
    void write_params(int n_threads, const Poll& poll, double* out) const;
    // Numbers from memory that grows: uninitialised where it has grown.
    struct Buffer {
        exec::Memory memory;
        std::size_t bytes = 0;
        void* of(std::size_t wanted);
    };

    const LatentDirichlet& model_;
    Kind kind_;
    std::size_t V_, K_;
    double eta_scale_;
    double bound_, entropy_, documents_;
    std::vector<double> log_theta_, alpha_;
    // Statistics by word are factor_ table_; the sums of the table over words.
    double factor_ = 1;
    exec::Memory table_;
    std::vector<double> sums_, prior_sums_;

    // Of the batch: its words, each word's place among them, its documents by that, their topics.
    std::vector<std::int32_t> words_, place_, indices_;
    std::vector<unsigned char> occurs_;
    LdaTable rows_;
    Buffer part_, state_;
};

}  // namespace vemfast::models
