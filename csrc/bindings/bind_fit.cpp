// Thousands of small fits in one call: the data sets are looked at once, and used in place.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "models/starts.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

bool is_native(const py::array& X, const py::dtype& type) {
    return X.dtype().equal(type);
}

// Data sets in the order given, and what is wrong with those that are no rows of numbers.
class DataSets {
  public:
    // `convert(X)` makes an acceptable matrix, or raises; `convert_weights(w, n, dtype)` a vector.
    DataSets(const py::object& data, const py::object& weights, py::function convert,
             py::function convert_weights)
        : convert_(std::move(convert)), convert_weights_(std::move(convert_weights)) {
        if (py::isinstance<py::array>(data))
            collect_slices(py::reinterpret_borrow<py::array>(data), weights);
        else
            collect_each(py::reinterpret_borrow<py::sequence>(data), weights);
    }

    const std::vector<Rows>& rows() const { return rows_; }
    const std::vector<std::pair<std::size_t, std::string>>& failures() const { return failures_; }

    // Of the first that can be read; zero if none can.
    std::int64_t n_features() const {
        for (const Rows& rows : rows_) {
            if (rows.data != nullptr)
                return rows.n_features;
        }
        return 0;
    }

  private:
    static py::object item(const py::object& sequence, std::size_t i) {
        return sequence.is_none() ? sequence : py::object(sequence[py::int_(i)]);
    }

    void collect_slices(const py::array& X, const py::object& weights) {
        require(X.ndim() == 3, "an array of data sets must have three dimensions, got ", X.ndim());
        kept_.push_back(X);
        const auto* base = static_cast<const char*>(X.data());
        for (py::ssize_t i = 0; i < X.shape(0); ++i)
            add(base + i * X.strides(0), X, 1, item(weights, static_cast<std::size_t>(i)));
    }

    void collect_each(const py::sequence& data, const py::object& weights) {
        const std::size_t count = data.size();
        rows_.reserve(count);
        kept_.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            const py::object X = data[i];
            if (is_acceptable(X)) {
                keep_and_add(py::reinterpret_borrow<py::array>(X), item(weights, i));
                continue;
            }
            guarded([&] { keep_and_add(py::array(convert_(X)), item(weights, i)); });
        }
    }

    void keep_and_add(py::array X, const py::object& weights) {
        const void* data = X.data();
        kept_.push_back(std::move(X));
        const py::array& held = kept_.back();
        add(data, py::array(held), 0, weights);
    }

    bool is_acceptable(const py::object& X) const {
        if (!py::isinstance<py::array>(X))
            return false;
        const auto array = py::reinterpret_borrow<py::array>(X);
        return array.ndim() == 2 && (is_native(array, doubles_) || is_native(array, floats_)) &&
               is_aligned(array, array.data()) && array.size() > 0;
    }

    static bool is_aligned(const py::array& X, const void* data) {
        bool aligned =
            reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(X.itemsize()) == 0;
        for (py::ssize_t axis = 0; axis < X.ndim(); ++axis)
            aligned = aligned && X.strides(axis) % X.itemsize() == 0;
        return aligned;
    }

    // Adds the matrix of the axes from `axis` on.
    void add(const void* data, const py::array& X, py::ssize_t axis, const py::object& weights) {
        Rows rows;
        rows.is_float = is_native(X, floats_);
        rows.n = X.shape(axis);
        rows.n_features = X.shape(axis + 1);
        rows.row_stride = X.strides(axis) / X.itemsize();
        rows.column_stride = X.strides(axis + 1) / X.itemsize();
        rows.data = data;
        const auto n = static_cast<py::ssize_t>(rows.n);
        if (weights.is_none()) {
            rows_.push_back(rows);
            return;
        }
        guarded([&] {
            const Vector w(convert_weights_(weights, n, X.dtype()));
            require(w.ndim() == 1 && w.shape(0) == n, "sample_weight has ", w.size(),
                    " numbers for ", n, " rows");
            rows.weights = {w.data(), n, 1};
            kept_.push_back(w);
            rows_.push_back(rows);
        });
    }

    // Notes what `task` raises as what is wrong with the next data set.
    template <class Task>
    void guarded(Task&& task) {
        std::string message;
        try {
            std::forward<Task>(task)();
            return;
        } catch (py::error_already_set& error) {
            if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_TypeError))
                throw;
            message = py::str(error.value());
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        failures_.emplace_back(rows_.size(), message);
        rows_.emplace_back();
    }

    py::dtype doubles_ = py::dtype::of<double>();
    py::dtype floats_ = py::dtype::of<float>();
    py::function convert_, convert_weights_;
    std::vector<Rows> rows_;
    std::vector<py::array> kept_;  // what the rows point into
    std::vector<std::pair<std::size_t, std::string>> failures_;
};

py::dict to_dict(GaussianMixtureFits&& fits, const DataSets& data) {
    py::dict failures;
    for (const auto& [index, message] : fits.failures)
        failures[py::int_(index)] = message;
    for (const auto& [index, message] : data.failures())
        failures[py::int_(index)] = message;
    py::dict out;
    out["weights"] = handed_over(std::move(fits.weights));
    out["means"] = handed_over(std::move(fits.means));
    out["covariances"] = handed_over(std::move(fits.covariances));
    out["weight_concentration"] = handed_over(std::move(fits.concentration));
    out["mean_precision"] = handed_over(std::move(fits.mean_precision));
    out["degrees_of_freedom"] = handed_over(std::move(fits.degrees_of_freedom));
    out["origin"] = handed_over(std::move(fits.origins));
    out["lower_bound"] = handed_over(std::move(fits.lower_bound));
    out["n_iter"] = handed_over(std::move(fits.n_iter));
    out["stop_reason"] = handed_over(std::move(fits.stop_reason));
    out["degenerate"] = handed_over(std::move(fits.degenerate));
    out["lower_bounds"] = handed_over(std::move(fits.lower_bounds));
    out["trace"] = handed_over(std::move(fits.trace));
    out["messages"] = std::move(failures);
    return out;
}

py::dict fit_all(const DataSets& data, const Seeds& seeds, int n_threads, std::size_t n_components,
                 std::string_view covariance_type, std::string_view inference, double tol,
                 int max_iter, int n_init, double reg_covar, std::string_view start,
                 const OptionalVector& weights_init, const OptionalVector& means_init,
                 const OptionalVector& covariances_init, bool equal_weights, bool dirichlet_process,
                 std::optional<double> weight_concentration_prior,
                 std::optional<double> mean_precision_prior, const OptionalVector& mean_prior,
                 std::optional<double> degrees_of_freedom_prior,
                 const OptionalVector& covariance_prior) {
    constexpr std::array<std::string_view, 3> kInferences{"em", "hard-em", "mean-field"};
    GaussianMixtureOptions options;
    options.n_components = n_components;
    options.covariance_type = parse_covariance<CovarianceType>(covariance_type);
    options.inference = parse<Inference>("inference", inference, kInferences);
    options.tol = tol;
    options.max_iter = max_iter;
    options.n_init = n_init;
    options.reg_covar = reg_covar;
    options.start = parse_start(start);
    options.weights_init = or_nothing(weights_init);
    options.means_init = or_nothing(means_init);
    options.covariances_init = or_nothing(covariances_init);
    options.equal_weights = equal_weights;
    options.dirichlet_process = dirichlet_process;
    options.weight_concentration_prior = weight_concentration_prior;
    options.mean_precision_prior = mean_precision_prior;
    options.mean_prior = or_nothing(mean_prior);
    options.degrees_of_freedom_prior = degrees_of_freedom_prior;
    options.covariance_prior = or_nothing(covariance_prior);
    const std::span<const std::uint64_t> states(seeds.data(),
                                                static_cast<std::size_t>(seeds.size()));
    const auto n_features = static_cast<std::size_t>(data.n_features());
    auto fits = call_native([&](const Poll& poll) {
        return fit_many(data.rows(), n_features, options, states, n_threads, poll);
    });
    return to_dict(std::move(fits), data);
}

}  // namespace

void bind_fit(py::module_& m) {
    py::class_<DataSets>(m, "DataSets")
        .def(py::init<const py::object&, const py::object&, py::function, py::function>())
        .def("__len__", [](const DataSets& data) { return data.rows().size(); })
        .def_property_readonly("n_features", &DataSets::n_features)
        .def_property_readonly("failures", &DataSets::failures);
    m.def("fit_many", &fit_all, py::arg("data"), py::arg("random_states"), py::arg("n_threads"),
          py::kw_only(), py::arg("n_components"), py::arg("covariance_type"), py::arg("inference"),
          py::arg("tol"), py::arg("max_iter"), py::arg("n_init"), py::arg("reg_covar"),
          py::arg("start"), py::arg("weights_init"), py::arg("means_init"),
          py::arg("covariances_init"), py::arg("equal_weights"), py::arg("dirichlet_process"),
          py::arg("weight_concentration_prior"), py::arg("mean_precision_prior"),
          py::arg("mean_prior"), py::arg("degrees_of_freedom_prior"), py::arg("covariance_prior"));
}

}  // namespace vemfast::bindings
