#include "vemfast/load.hpp"

#include <memory>
#include <utility>

#include "io/schemas.hpp"

namespace vemfast {
inline namespace abi1 {

// What the model classes let make them of a file that has been read.
struct ModelMaker {
    template <class Model>
    static AnyModel make(io::Container&& file) {
        return Model(std::make_shared<const io::Container>(std::move(file)));
    }
};

AnyModel load(const std::string& path) {
    io::Container file = io::read_model(path, "");
    const std::string name = io::class_of(file);
    if (name.ends_with("Mixture"))
        return ModelMaker::make<Mixture>(std::move(file));
    if (name.ends_with("HMM"))
        return ModelMaker::make<HiddenMarkov>(std::move(file));
    if (name == "LatentDirichletAllocation")
        return ModelMaker::make<LatentDirichletAllocation>(std::move(file));
    return ModelMaker::make<VariationalAutoencoder>(std::move(file));
}

}  // namespace abi1
}  // namespace vemfast
