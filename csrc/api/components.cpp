#include "api/components.hpp"

#include <utility>

namespace vemfast::api {

using detail::IndexedFamily;

bool takes_nan(const io::Parameters& given) {
    return given.word("missing", {"error", "marginalize"}) == "marginalize";
}

detail::Covariance covariance_type(const io::Parameters& given, const char* usual) {
    const std::string name = given.word(
        "covariance_type", {usual, "full", "tied", "diag", "spherical", "tied-spherical"});
    if (name == "full")
        return detail::Covariance::full;
    if (name == "tied")
        return detail::Covariance::tied;
    if (name == "diag")
        return detail::Covariance::diag;
    return name == "spherical" ? detail::Covariance::spherical : detail::Covariance::tied_spherical;
}

models::GaussianMixture gaussian_components(const ComponentsOf& of, detail::Covariance type) {
    const std::size_t D = io::n_features_of(*of.file);
    detail::GaussianPrior flat;
    flat.mean.assign(D, 0.0);
    detail::Gaussian components(type, of.n_components, D, std::move(flat),
                                std::vector<double>(D, 1.0), 0.0);
    return {{of.weights, 1.0, of.n_components},
            std::move(components),
            io::numbers_of(*of.file, "origin_"),
            takes_nan(io::Parameters(*of.file))};
}

void append_means(const io::Container& file, const std::string& name, std::vector<double>& params) {
    const std::vector<double> origin = io::numbers_of(file, "origin_");
    const std::vector<double> means = io::numbers_of(file, name);
    for (std::size_t i = 0; i < means.size(); ++i)
        params.push_back(means[i] - origin[i % origin.size()]);
}

void append(std::vector<double>& params, const std::vector<double>& more) {
    params.insert(params.end(), more.begin(), more.end());
}

IndexedReader reader_of(const io::Container& file, IndexedFamily family) {
    const io::Parameters given(file);
    IndexedReader reader;
    reader.family = family;
    reader.n_features = io::n_features_of(file);
    reader.takes_nan = takes_nan(given);
    if (family == IndexedFamily::bernoulli && !given.is_none("binarize"))
        reader.binarize = given.real("binarize", 0.0);
    if (family == IndexedFamily::categorical) {
        for (const double size : io::numbers_of(file, "n_categories_"))
            reader.n_categories.push_back(static_cast<std::int64_t>(size));
    }
    return reader;
}

models::DiscreteMixture discrete_components(const ComponentsOf& of, const IndexedReader& reader) {
    const bool codes = reader.family == IndexedFamily::categorical;
    detail::IndexedShape shape{
        of.n_components, reader.n_features, reader.n_features, {}, reader.takes_nan};
    if (codes) {
        shape.column_offsets.assign(1, 0);
        for (const std::int64_t size : reader.n_categories)
            shape.column_offsets.push_back(shape.column_offsets.back() + size);
        shape.n_values = static_cast<std::size_t>(shape.column_offsets.back());
    }
    const std::vector<double> ones(shape.n_values, 1.0);
    detail::IndexedPrior flat{false, ones, codes ? std::vector<double>{} : ones};
    return {{of.weights, 1.0, of.n_components},
            detail::make_indexed(reader.family, std::move(shape), std::move(flat))};
}

std::vector<double> table_of(const io::Container& file, const std::string& name,
                             std::size_t n_components, const IndexedReader& reader, bool numbered) {
    std::vector<double> out;
    const auto add = [&](const std::vector<double>& shown) {
        const std::size_t width = shown.size() / n_components;
        for (std::size_t f = 0; f < width; ++f) {
            for (std::size_t k = 0; k < n_components; ++k)
                out.push_back(shown[k * width + f]);
        }
    };
    if (reader.family != IndexedFamily::categorical || !numbered) {
        add(io::numbers_of(file, name));
        return out;
    }
    for (std::size_t d = 0; d < reader.n_features; ++d)
        add(io::numbers_of(file, std::string(name).append(".").append(std::to_string(d))));
    return out;
}

}  // namespace vemfast::api
