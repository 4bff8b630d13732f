// The variational autoencoder for Python: weights are one-dimensional float32 arrays, rows are used
// in place.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "isa/dispatch.hpp"
#include "models/vae.hpp"
#include "models/vae_product.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using models::AdamSettings;
using models::Storage;
using models::VaeNetwork;
using models::VaePass;
using models::VaeRows;
using models::VaeTraining;

using Floats = py::array_t<float, py::array::c_style>;
using Numbers64 = py::array_t<std::int64_t, py::array::c_style>;
using Keys = py::array_t<std::uint64_t, py::array::c_style>;

template <class T>
bool holds(const py::array& array) {
    return array.dtype().equal(py::dtype::of<T>());
}

Storage storage_of(const py::array& values) {
    if (holds<float>(values))
        return Storage::float32;
    if (holds<double>(values))
        return Storage::float64;
    require(holds<std::uint8_t>(values), "rows must be float32, float64 or uint8");
    return Storage::bytes;
}

// Rows, and the arrays that they live in.
struct RowsHolder {
    VaeRows rows;
    std::size_t n_features = 0;
    std::vector<py::array> kept;
};

void take_weights(RowsHolder& holder, const OptionalVector& weights) {
    if (!weights)
        return;
    holder.rows.weights = sized(*weights, holder.rows.n_rows, "weights");
    holder.kept.push_back(*weights);
}

RowsHolder dense_rows(const py::array& values, const OptionalVector& weights,
                      std::uint64_t offset) {
    require(values.ndim() == 2, "rows must be two-dimensional");
    RowsHolder holder;
    VaeRows& rows = holder.rows;
    rows.storage = storage_of(values);
    const py::ssize_t size = values.itemsize();
    require(values.shape(1) == 1 || values.strides(1) == size,
            "the numbers of a row must lie side by side");
    require(values.strides(0) % size == 0, "rows must lie whole numbers apart");
    rows.n_rows = static_cast<std::size_t>(values.shape(0));
    rows.values = values.data();
    rows.row_stride = static_cast<std::ptrdiff_t>(values.strides(0) / size);
    rows.offset = offset;
    holder.n_features = static_cast<std::size_t>(values.shape(1));
    holder.kept.push_back(values);
    take_weights(holder, weights);
    return holder;
}

// The indices are trusted to be in range: blocks of rows are checked when they are made.
RowsHolder sparse_rows(const Numbers64& indptr, const Labels& indices,
                       const std::optional<py::array>& values, std::size_t n_features,
                       const OptionalVector& weights, std::uint64_t offset) {
    require(indptr.size() >= 1, "indptr is empty");
    RowsHolder holder;
    VaeRows& rows = holder.rows;
    rows.n_rows = static_cast<std::size_t>(indptr.size()) - 1;
    rows.indptr = indptr.data();
    rows.indices = indices.data();
    const std::int64_t end = indptr.data()[rows.n_rows];
    require(indptr.data()[0] >= 0 && end <= indices.size() && (!values || end <= values->size()),
            "indptr runs to ", end, ", beyond the entries");
    rows.storage = Storage::none;
    if (values) {
        require((values->flags() & py::array::c_style) != 0, "values must be contiguous");
        rows.storage = storage_of(*values);
        require(rows.storage != Storage::bytes, "values must be float32 or float64");
        rows.values = values->data();
        holder.kept.push_back(*values);
    }
    rows.offset = offset;
    holder.n_features = n_features;
    holder.kept.push_back(indptr);
    holder.kept.push_back(indices);
    take_weights(holder, weights);
    return holder;
}

VaeNetwork make_network(std::size_t n_features, std::size_t n_components,
                        const std::vector<std::size_t>& hidden, std::string_view activation,
                        std::string_view likelihood, std::size_t n_variances) {
    constexpr std::array<std::string_view, 5> kActivations{"tanh", "relu", "gelu", "softplus",
                                                           "identity"};
    constexpr std::array<std::string_view, 3> kLikelihoods{"bernoulli", "gaussian", "poisson"};
    return VaeNetwork({n_features, n_components, hidden,
                       parse<detail::Activation>("activation", activation, kActivations),
                       parse<detail::Likelihood>("likelihood", likelihood, kLikelihoods),
                       n_variances});
}

const float* weights_of(const VaeNetwork& network, const Floats& weights) {
    require(static_cast<std::size_t>(weights.size()) == network.size(), "weights has ",
            weights.size(), " numbers where the network has ", network.size());
    return weights.data();
}

const VaeRows& rows_of(const VaeNetwork& network, const RowsHolder& holder) {
    require(holder.n_features == network.shape().n_features, "the rows have ", holder.n_features,
            " features where the network has ", network.shape().n_features);
    return holder.rows;
}

const float* codes_of(const VaeNetwork& network, const Floats& z, std::size_t n_rows) {
    require(z.ndim() == 2 && static_cast<std::size_t>(z.shape(0)) == n_rows &&
                static_cast<std::size_t>(z.shape(1)) == network.shape().n_components,
            "z must be ", n_rows, " x ", network.shape().n_components);
    return z.data();
}

VaePass make_pass(bool hard, bool prior, double kl_weight, std::uint64_t seed,
                  std::uint32_t iteration, std::size_t batch_size, int n_threads) {
    require(batch_size >= 1, "batch_size must be >= 1");
    return {{hard, prior, kl_weight}, seed, iteration, batch_size, n_threads};
}

py::array_t<float> new_matrix(std::size_t n, std::size_t width) {
    return py::array_t<float>({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(width)});
}

float* state(const VaeNetwork& network, Floats& array) {
    require(static_cast<std::size_t>(array.size()) == network.size(), "the state has ",
            array.size(), " numbers where the network has ", network.size());
    return array.mutable_data();
}

py::tuple sweep(const VaeNetwork& network, Floats weights, Floats first, Floats second,
                std::int64_t updates, std::int64_t failures, std::int64_t halvings,
                const std::vector<const RowsHolder*>& blocks, const Numbers64& order,
                const AdamSettings& adam, const VaePass& pass) {
    std::vector<VaeRows> rows;
    std::int64_t total = 0;
    for (const RowsHolder* block : blocks) {
        rows.push_back(rows_of(network, *block));
        total += static_cast<std::int64_t>(rows.back().n_rows);
    }
    const std::int64_t* positions = order.data();
    for (py::ssize_t i = 0; i < order.size(); ++i)
        require(positions[i] >= 0 && positions[i] < total, "position ", positions[i],
                " is not one of the ", total, " rows");
    VaeTraining training{state(network, weights),
                         state(network, first),
                         state(network, second),
                         updates,
                         failures,
                         halvings};
    const auto n = static_cast<std::size_t>(order.size());
    const auto sums = call_native([&](const Poll& poll) {
        return network.sweep(training, adam, rows, positions, n, pass, poll);
    });
    return py::make_tuple(sums.bound, sums.weight, training.updates, training.failures,
                          training.halvings);
}

py::tuple gradient(const VaeNetwork& network, const Floats& weights, const RowsHolder& block,
                   const VaePass& pass) {
    const float* theta = weights_of(network, weights);
    const VaeRows& rows = rows_of(network, block);
    Vector out(static_cast<py::ssize_t>(network.size()));
    double* sum = out.mutable_data();
    std::fill_n(sum, network.size(), 0.0);
    const auto sums = call_native(
        [&](const Poll& poll) { return network.gradient(theta, rows, pass, poll, sum); });
    return py::make_tuple(out, sums.bound, sums.weight);
}

py::tuple encode(const VaeNetwork& network, const Floats& weights, const RowsHolder& block,
                 int n_threads) {
    const float* theta = weights_of(network, weights);
    const VaeRows& rows = rows_of(network, block);
    const std::size_t Z = network.shape().n_components;
    auto mean = new_matrix(rows.n_rows, Z), log_variance = new_matrix(rows.n_rows, Z);
    float* to_mean = mean.mutable_data();
    float* to_variance = log_variance.mutable_data();
    call_native([&](const Poll& poll) {
        network.encode(theta, rows, n_threads, poll, to_mean, to_variance);
    });
    return py::make_tuple(mean, log_variance);
}

py::array_t<float> decode(const VaeNetwork& network, const Floats& weights, const Floats& z,
                          int n_threads) {
    const float* theta = weights_of(network, weights);
    require(z.ndim() == 2, "z must be two-dimensional");
    const auto n = static_cast<std::size_t>(z.shape(0));
    const float* codes = codes_of(network, z, n);
    auto out = new_matrix(n, network.shape().n_features);
    float* to = out.mutable_data();
    call_native([&](const Poll& poll) { network.decode(theta, codes, n, n_threads, poll, to); });
    return out;
}

py::tuple log_density(const VaeNetwork& network, const Floats& weights, const RowsHolder& block,
                      const Floats& z, bool with_gradient, int n_threads) {
    const float* theta = weights_of(network, weights);
    const VaeRows& rows = rows_of(network, block);
    const float* codes = codes_of(network, z, rows.n_rows);
    Vector values(static_cast<py::ssize_t>(rows.n_rows));
    auto of_z = new_matrix(with_gradient ? rows.n_rows : 0, network.shape().n_components);
    double* to = values.mutable_data();
    float* to_gradient = with_gradient ? of_z.mutable_data() : nullptr;
    call_native([&](const Poll& poll) {
        network.log_density(theta, rows, codes, n_threads, poll, to, to_gradient);
    });
    const py::object gradient = with_gradient ? py::object(of_z) : py::object(py::none());
    return py::make_tuple(values, gradient);
}

py::array_t<float> noise(std::uint64_t seed, std::uint32_t iteration, const Keys& rows,
                         std::size_t width) {
    const auto n = static_cast<std::size_t>(rows.size());
    auto out = new_matrix(n, width);
    float* to = out.mutable_data();
    const std::uint64_t* keys = rows.data();
    call_native([&](const Poll&) {
        for (std::size_t i = 0; i < n; ++i) {
            if (i % 4096 == 0)
                interruption_point();
            detail::latent_noise(seed, iteration, keys[i], width, to + i * width);
        }
    });
    return out;
}

struct ProductHolder {
    models::VaeProduct product;
    std::size_t rows, columns;
};

ProductHolder make_product(std::string_view kind, const Floats& a, const Floats& b, int n_threads) {
    constexpr std::array<std::string_view, 3> kNames{"plain", "right transposed",
                                                     "left transposed"};
    const auto parsed = parse<models::ProductKind>("product", kind, kNames);
    require(a.ndim() == 2 && b.ndim() == 2 && a.size() > 0 && b.size() > 0,
            "the factors must be matrices");
    const bool left = parsed == models::ProductKind::left_transposed;
    const bool right = parsed == models::ProductKind::right_transposed;
    const auto M = static_cast<std::size_t>(a.shape(left ? 1 : 0));
    const auto K = static_cast<std::size_t>(a.shape(left ? 0 : 1));
    const auto N = static_cast<std::size_t>(b.shape(right ? 0 : 1));
    require(static_cast<std::size_t>(b.shape(right ? 1 : 0)) == K, "the factors do not fit");
    return {models::VaeProduct(parsed, a.data(), b.data(), M, K, N, n_threads), M, N};
}

}  // namespace

void bind_vae(py::module_& m) {
    py::class_<RowsHolder>(m, "VaeRows")
        .def_static("dense", &dense_rows)
        .def_static("sparse", &sparse_rows);
    [[maybe_unused]] const py::class_<VaePass> pass(m, "VaePass");
    m.def("vae_pass", &make_pass, py::kw_only(), py::arg("hard"), py::arg("prior"),
          py::arg("kl_weight"), py::arg("seed"), py::arg("iteration"), py::arg("batch_size"),
          py::arg("n_threads"));
    py::class_<AdamSettings>(m, "AdamSettings")
        .def(py::init([](double rate, double decay1, double decay2, double epsilon, float least) {
                 return AdamSettings{rate, decay1, decay2, epsilon, least};
             }),
             py::kw_only(), py::arg("learning_rate"), py::arg("decay1"), py::arg("decay2"),
             py::arg("epsilon"), py::arg("least_log_variance"));
    py::class_<VaeNetwork>(m, "VaeNetwork")
        .def(py::init(&make_network), py::kw_only(), py::arg("n_features"), py::arg("n_components"),
             py::arg("hidden"), py::arg("activation"), py::arg("likelihood"),
             py::arg("n_variances"))
        .def_property_readonly("size", &VaeNetwork::size)
        .def("sweep", &sweep)
        .def("gradient", &gradient)
        .def("encode", &encode)
        .def("decode", &decode)
        .def("log_density", &log_density);
    m.def("vae_noise", &noise);
    py::class_<ProductHolder>(m, "VaeProduct")
        .def(py::init(&make_product))
        .def("compute",
             [](ProductHolder& own) {
                 call_native([&](const Poll& poll) { own.product.compute(poll); });
             })
        .def("result", [](const ProductHolder& own) {
            auto out = new_matrix(own.rows, own.columns);
            own.product.copy_result(out.mutable_data());
            return out;
        });
}

}  // namespace vemfast::bindings
