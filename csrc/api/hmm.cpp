#include "vemfast/hmm.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "api/components.hpp"
#include "api/file.hpp"
#include "io/schemas.hpp"
#include "math/pairwise_sum.hpp"
#include "models/hmm.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using detail::IndexedFamily;
using models::Kind;

const std::vector<std::string_view> kClasses{"GaussianHMM", "CategoricalHMM", "BernoulliHMM",
                                             "PoissonHMM", "GMMHMM"};

struct Names {
    IndexedFamily family;
    const char* table;
};

// Of the classes of bits, counts and codes.
std::optional<Names> names_of(const std::string& class_name) {
    if (class_name == "BernoulliHMM")
        return Names{IndexedFamily::bernoulli, "probabilities_"};
    if (class_name == "PoissonHMM")
        return Names{IndexedFamily::poisson, "lambdas_"};
    if (class_name == "CategoricalHMM")
        return Names{IndexedFamily::categorical, "emissionprob_"};
    return std::nullopt;
}

using Emission = std::variant<models::GaussianMixture, models::DiscreteMixture>;

Emission emission_of(const io::Container& file, std::size_t n_components,
                     const std::optional<api::IndexedReader>& reader) {
    const api::ComponentsOf of{&file, n_components, detail::WeightPrior::none};
    if (reader)
        return api::discrete_components(of, *reader);
    return api::gaussian_components(of, api::covariance_type(io::Parameters(file), "diag"));
}

std::vector<detail::Simplex> free_rows(std::size_t n, std::size_t size) {
    std::vector<detail::Simplex> out;
    out.reserve(n);
    for (std::size_t k = 0; k < n; ++k)
        out.emplace_back(size, std::vector<double>{}, std::vector<unsigned char>{},
                         std::vector<double>{});
    return out;
}

}  // namespace

inline namespace abi1 {

class HiddenMarkov::Engine {
  public:
    explicit Engine(const io::Container& file) : n_features_(io::n_features_of(file)) {
        const io::Parameters given(file);
        const auto K = static_cast<std::size_t>(given.integer("n_components", 1, 1));
        const bool is_mixture = io::class_of(file) == "GMMHMM";
        const auto M = is_mixture ? static_cast<std::size_t>(given.integer("n_mix", 1, 1)) : 1;
        takes_nan_ = api::takes_nan(given);
        const auto names = names_of(io::class_of(file));
        if (names)
            reader_ = api::reader_of(file, names->family);
        emission_ = std::make_unique<const Emission>(emission_of(file, K * M, reader_));
        const models::Emissions of = std::visit(
            [](const auto& mixture) -> models::Emissions { return &mixture; }, *emission_);
        auto rows = free_rows(K, K);
        detail::Simplex start = rows.front();
        auto mix = M > 1 ? free_rows(K, M) : std::vector<detail::Simplex>{};
        model_ = std::make_unique<const models::HiddenMarkov>(
            of, std::move(start), std::move(rows), models::SweepLimits{}, std::move(mix));

        std::vector<double> point = io::numbers_of(file, "startprob_");
        api::append(point, io::numbers_of(file, "transmat_"));
        if (M > 1)
            api::append(point, io::numbers_of(file, "weights_"));
        if (names && reader_) {
            api::append(point, api::table_of(file, names->table, K, *reader_, n_features_ > 1));
        } else {
            api::append_means(file, "means_", point);
            api::append(point, io::numbers_of(file, "covars_"));
        }
        table_ =
            std::make_unique<const models::HmmTable>(model_->prepare(Kind::point, point.data()));
    }

    const models::HmmTable& table() const { return *table_; }
    std::size_t n_states() const { return table_->n_states(); }
    const std::optional<api::IndexedReader>& reader() const { return reader_; }
    std::size_t n_features() const { return n_features_; }
    bool takes_nan() const { return takes_nan_; }

  private:
    std::size_t n_features_;
    bool takes_nan_ = false;
    std::optional<api::IndexedReader> reader_;
    std::unique_ptr<const Emission> emission_;
    std::unique_ptr<const models::HiddenMarkov> model_;
    std::unique_ptr<const models::HmmTable> table_;
};

}  // namespace abi1

namespace {

// The steps of a call, checked; the arguments must outlive it.
class Steps {
  public:
    Steps(const HiddenMarkov::Engine& engine, const Rows& rows, Lengths lengths, bool with_base,
          int n_threads, const Poll& poll) {
        if (engine.reader()) {
            data_.emplace(*engine.reader(), rows);
            rows_ = {with_base ? data_->with_base(n_threads, poll) : data_->view(),
                     data_->is_float()};
        } else {
            const auto view = api::checked_rows(rows, engine.n_features(), engine.takes_nan());
            rows_ = {view, view.is_float};
        }
        whole_ = rows.n;
        require(whole_ > 0, "X has no steps");
        require(rows.weights.data == nullptr, "steps have no weights of their own");
        lengths_.assign(lengths.begin(), lengths.end());
        if (lengths_.empty())
            lengths_.push_back(whole_);
        sequences_.lengths = lengths_.data();
        sequences_.n = lengths_.size();
        std::int64_t steps = 0;
        for (std::size_t s = 0; s < lengths_.size(); ++s) {
            const std::int64_t length = lengths_[s];
            require(length > 0, "lengths must be positive; sequence ", s, " has ", length);
            require(length <= whole_ - steps, "lengths add up to more than the ", whole_,
                    " steps that there are");
            steps += length;
        }
        require(steps == whole_, "lengths add up to ", steps, ", but there are ", whole_, " steps");
    }
    Steps(const Steps&) = delete;
    Steps& operator=(const Steps&) = delete;

    const models::HmmRows& rows() const { return rows_; }
    const models::Sequences& sequences() const { return sequences_; }
    std::size_t n() const { return static_cast<std::size_t>(whole_); }

  private:
    std::optional<api::IndexedData> data_;
    models::HmmRows rows_;
    models::Sequences sequences_;
    std::vector<std::int64_t> lengths_;
    std::int64_t whole_ = 0;
};

}  // namespace

inline namespace abi1 {

HiddenMarkov::HiddenMarkov(std::shared_ptr<const io::Container> file)
    : FittedModel(std::move(file)), engine_(std::make_shared<const Engine>(*file_)) {}

HiddenMarkov HiddenMarkov::load(const std::string& path) {
    return HiddenMarkov(api::read_file(path, kClasses));
}

HiddenMarkov::HiddenMarkov(const Attributes& attributes)
    : HiddenMarkov(api::make_file(attributes, kClasses)) {}

DecodedPaths HiddenMarkov::decode(const Rows& rows, Lengths lengths, int n_threads,
                                  const Poll& poll) const {
    const Steps steps(*engine_, rows, lengths, true, n_threads, poll);
    DecodedPaths out{std::vector<std::int32_t>(steps.n()),
                     std::vector<double>(steps.sequences().n)};
    models::hmm_decode(engine_->table(), steps.rows(), steps.sequences(), n_threads, poll,
                       out.states.data(), out.log_joint.data());
    return out;
}

std::vector<double> HiddenMarkov::posteriors(const Rows& rows, Lengths lengths, int n_threads,
                                             const Poll& poll) const {
    const Steps steps(*engine_, rows, lengths, false, n_threads, poll);
    std::vector<double> out(steps.n() * engine_->n_states());
    models::hmm_posteriors(engine_->table(), steps.rows(), steps.sequences(), n_threads, poll,
                           out.data());
    return out;
}

std::vector<double> HiddenMarkov::score_sequences(const Rows& rows, Lengths lengths, int n_threads,
                                                  const Poll& poll) const {
    const Steps steps(*engine_, rows, lengths, true, n_threads, poll);
    std::vector<double> out(steps.sequences().n);
    models::hmm_score(engine_->table(), steps.rows(), steps.sequences(), n_threads, poll,
                      out.data());
    return out;
}

double HiddenMarkov::score(const Rows& rows, Lengths lengths, int n_threads,
                           const Poll& poll) const {
    return detail::pairwise_sum(score_sequences(rows, lengths, n_threads, poll));
}

}  // namespace abi1
}  // namespace vemfast
