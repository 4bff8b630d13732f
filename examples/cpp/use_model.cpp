// Applies a fitted model of any class to the rows of a text file: a number behind the other.
//
//     use_model model.safetensors rows.txt

#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <vemfast/load.hpp>

namespace {

void print_results(const std::string& path, const std::vector<double>& numbers) {
    const auto rows_of = [&](const vemfast::FittedModel& model) {
        const auto D = static_cast<std::int64_t>(model.n_features());
        if (numbers.size() % model.n_features() != 0)
            throw std::runtime_error("the numbers are no whole rows of the model's features");
        const auto n = static_cast<std::int64_t>(numbers.size()) / D;
        return vemfast::Rows(vemfast::MatrixView<const double>{numbers.data(), n, D, D});
    };
    const vemfast::AnyModel model = vemfast::load(path);
    if (const auto* mixture = std::get_if<vemfast::Mixture>(&model)) {
        for (const int label : mixture->predict(rows_of(*mixture)))
            std::printf("%d\n", label);
    } else if (const auto* chain = std::get_if<vemfast::HiddenMarkov>(&model)) {
        for (const int state : chain->decode(rows_of(*chain)).states)
            std::printf("%d\n", state);
    } else if (const auto* net = std::get_if<vemfast::VariationalAutoencoder>(&model)) {
        const auto z = net->transform(rows_of(*net));
        for (std::size_t i = 0; i < z.size(); ++i)
            std::printf("%.6g%c", z[i], (i + 1) % net->n_components() == 0 ? '\n' : ' ');
    } else {
        std::printf("topics take documents, not rows\n");
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s MODEL ROWS\n", argv[0]);
        return 2;
    }
    try {
        std::vector<double> numbers;
        std::ifstream file(argv[2]);
        for (double number = 0; file >> number;)
            numbers.push_back(number);
        if (!file.eof())
            throw std::runtime_error(std::string(argv[2]) +
                                     ": cannot be read, or holds what is no number");
        print_results(argv[1], numbers);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
