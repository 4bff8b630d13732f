#include "models/lda_online.hpp"

#include <algorithm>

#include "exec/parallel.hpp"
#include "models/row_pass.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::models {

using detail::DocumentRule;
using detail::Documents;

namespace {

constexpr double kLeastFactor = 1e-100;  // below it the table is multiplied out

}  // namespace

void* LdaOnline::Buffer::of(std::size_t wanted) {
    if (wanted > bytes) {
        memory.reset();
        bytes = wanted + wanted / 4;
        memory = exec::allocate(bytes);
    }
    return memory.get();
}

LdaOnline::LdaOnline(const LatentDirichlet& model, ParameterRule rule, const double* params,
                     const double* stats, int n_threads, const Poll& poll)
    : model_(model),
      kind_(rule == ParameterRule::posterior ? Kind::posterior : Kind::point),
      V_(model.n_words()),
      K_(model.n_components()),
      eta_scale_(params[V_ * K_ + K_]),
      bound_(stats[0]),
      entropy_(stats[1]),
      documents_(stats[2 + V_ * K_ + K_]),
      log_theta_(stats + 2 + V_ * K_, stats + 2 + V_ * K_ + K_),
      alpha_(params + V_ * K_, params + V_ * K_ + K_),
      table_(exec::allocate(V_ * K_ * sizeof(double))),
      prior_sums_(model.topics().eta_sums(eta_scale_)),
      place_(V_, 0),
      occurs_(V_, 0),
      rows_(model.table_of(alpha_.data(), V_)) {
    require(rule != ParameterRule::sampled && !model.learns_eta(),
            "a pass by the words that occur is for points and posteriors with a fixed prior");
    require(kind_ == Kind::posterior || model.topics().smallest(eta_scale_) > 1.0,
            "point topics of batches need eta > 1");
    auto* table = static_cast<double*>(table_.get());
    const RowPass pass{V_, kLeafWords, 1, n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void*) {
        std::copy_n(stats + 2 + first * K_, n * K_, table + first * K_);
    });
    sums_ = model.topics().column_sums(table, n_threads, poll);
}

void LdaOnline::batch(const Documents& documents, const LdaPass& pass, double scale, double rate,
                      const Poll& poll, double* params) {
    model_.learn_alpha(log_theta_.data(), documents_, alpha_.data());
    if (params != nullptr)
        write_params(pass.n_threads, poll, params);
    find_words(documents);
    fill_table(pass.n_threads, poll);

    Documents own = documents;
    own.indices = indices_.data();
    std::vector<std::int64_t> first_token;
    std::size_t state_bytes = documents.n_documents * K_ * sizeof(double);
    if (pass.rule != DocumentRule::factorised) {
        first_token = count_tokens(documents);
        state_bytes = static_cast<std::size_t>(first_token.back()) * sizeof(std::int32_t);
    }
    auto* part = static_cast<double*>(part_.of(rows_.stats_size() * sizeof(double)));
    e_step(rows_, own, pass, first_token.data(), {nullptr, state_.of(state_bytes)}, poll, part);
    blend(scale, rate, pass.n_threads, poll);
}

// words_, in ascending order, and indices_.
void LdaOnline::find_words(const Documents& documents) {
    const std::int32_t* from = documents.indices + documents.indptr[0];
    const std::int32_t* to = documents.indices + documents.indptr[documents.n_documents];
    for (const auto* word = from; word != to; ++word)
        occurs_[static_cast<std::size_t>(*word)] = 1;
    words_.clear();
    for (std::size_t w = 0; w < V_; ++w) {
        if (occurs_[w] == 0)
            continue;
        place_[w] = static_cast<std::int32_t>(words_.size());
        words_.push_back(static_cast<std::int32_t>(w));
        occurs_[w] = 0;
    }
    indices_.resize(static_cast<std::size_t>(to - documents.indices));
    std::transform(from, to, indices_.begin() + documents.indptr[0],
                   [&](std::int32_t w) { return place_[static_cast<std::size_t>(w)]; });
}

// rows_: the topics at words_.
void LdaOnline::fill_table(int n_threads, const Poll& poll) {
    const bool is_point = kind_ == Kind::point;
    const double less = is_point ? 1.0 : 0.0;
    std::vector<double> totals(K_);
    for (std::size_t k = 0; k < K_; ++k) {
        totals[k] = prior_sums_[k] - less * static_cast<double>(V_) + factor_ * sums_[k];
        if (!is_point)
            totals[k] = special::digamma(totals[k]);
    }
    rows_.n_words = words_.size();
    rows_.set_alpha(alpha_.data());
    const auto* table = static_cast<const double*>(table_.get());
    const std::size_t scratch_size = rows_.scratch_size();
    const RowPass pass{words_.size(), kLeafWords, (scratch_size + kLeafWords * K_) * sizeof(double),
                       n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void* memory) {
        auto* scratch = static_cast<double*>(memory);
        double* topics = scratch + scratch_size;
        model_.topics().gather(eta_scale_, less, factor_, table, &words_[first], n, topics);
        for (std::size_t i = 0; is_point && i < n * K_; ++i)
            topics[i] /= totals[i % K_];
        fill_rows(kind_, topics, totals.data(), first, n, scratch, rows_);
    });
}

void LdaOnline::blend(double scale, double rate, int n_threads, const Poll& poll) {
    const auto* part = static_cast<const double*>(part_.memory.get());
    auto* table = static_cast<double*>(table_.get());
    factor_ *= 1.0 - rate;
    if (factor_ < kLeastFactor) {
        multiply_out(n_threads, poll, table);
        for (double& sum : sums_)
            sum *= factor_;
        factor_ = 1;
    }
    const double share = rate * scale / factor_;
    std::vector<double> added(K_);
    const RowPass pass{words_.size(), kLeafWords, 1, n_threads};
    sum_over_rows(
        pass, K_, poll,
        [&](std::size_t first, std::size_t n, void*, double* sums) {
            for (std::size_t i = first; i < first + n; ++i) {
                double* to = table + static_cast<std::size_t>(words_[i]) * K_;
                const double* from = part + 2 + i * K_;
                for (std::size_t k = 0; k < K_; ++k) {
                    const double more = share * from[k];
                    to[k] += more;
                    sums[k] += more;
                }
            }
        },
        added.data());
    const double* log_theta = part + 2 + words_.size() * K_;
    const auto blended = [&](double before, double now) {
        return (1.0 - rate) * before + rate * (scale * now);
    };
    for (std::size_t k = 0; k < K_; ++k) {
        sums_[k] += added[k];
        log_theta_[k] = blended(log_theta_[k], log_theta[k]);
    }
    documents_ = blended(documents_, log_theta[K_]);
    bound_ = blended(bound_, part[0]);
    entropy_ = blended(entropy_, part[1]);
}

// out = factor_ table_; it may be the table.
void LdaOnline::multiply_out(int n_threads, const Poll& poll, double* out) const {
    const auto* table = static_cast<const double*>(table_.get());
    const RowPass pass{V_, kLeafWords, 1, n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void*) {
        for (std::size_t i = first * K_; i < (first + n) * K_; ++i)
            out[i] = factor_ * table[i];
    });
}

void LdaOnline::write_params(int n_threads, const Poll& poll, double* out) const {
    multiply_out(n_threads, poll, out);
    if (kind_ == Kind::posterior)
        model_.topics().posterior(eta_scale_, out, n_threads, poll, out);
    else
        model_.topics().mode(eta_scale_, out, nullptr, n_threads, poll, out);
    std::copy(alpha_.begin(), alpha_.end(), out + V_ * K_);
    out[V_ * K_ + K_] = eta_scale_;
}

void LdaOnline::stats(int n_threads, const Poll& poll, double* out) const {
    multiply_out(n_threads, poll, out + 2);
    out[0] = bound_;
    out[1] = entropy_;
    std::copy(log_theta_.begin(), log_theta_.end(), out + 2 + V_ * K_);
    out[2 + V_ * K_ + K_] = documents_;
}

}  // namespace vemfast::models
