// What fits of bits, counts and codes are told, and what they leave: of mixtures and of chains.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/chosen.hpp"
#include "api/rows.hpp"
#include "models/discrete_mixture.hpp"

namespace vemfast::api {

// What the classes of one family call things.
struct DiscreteNames {
    detail::IndexedFamily family;
    std::string table;                   // "rates": rates_, rates_init
    std::vector<std::string> priors;     // of the parameters
    std::vector<std::string> posterior;  // attributes, in the model's order
    std::string sizes;                   // the parameter of the numbers of codes
    bool is_mixture;                     // then arrays of codes always have their column's number
};

// A model for the rows of one fit; the rows must outlive it.
struct DiscreteChoice {
    IndexedReader reader;
    std::unique_ptr<IndexedData> data;
    std::unique_ptr<models::DiscreteMixture> mixture;
    std::vector<double> table;   // F x K: where the components begin; empty: to be found
    std::vector<double> shapes;  // see DiscreteFitOptions

    bool is_numbered(const DiscreteNames& names) const {
        return names.is_mixture || reader.n_features > 1;
    }
};

DiscreteChoice choose_discrete(Chosen& chosen, const DiscreteNames& names, const Rows& rows,
                               detail::Weights weights, bool is_point);

// Adds the attributes of components (by feature, the component last) of a point or a posterior.
void add_components(const DiscreteChoice& choice, const DiscreteNames& names, models::Kind kind,
                    const double* components, Attributes& out);

}  // namespace vemfast::api
