/* A chain, topics and an autoencoder: each is fitted, saved, loaded and used; then many at once.
 *
 *     fit_groups [folder]
 */
#include <stdio.h>
#include <stdlib.h>

#include <vemfast/vemfast.h>

enum { T = 600, DOCUMENTS = 40, WORDS = 6, N = 200, D = 8, K = 2, MANY = 20 };

static int failed(const char* what) {
    fprintf(stderr, "%s: %s\n", what, vemfast_message());
    return EXIT_FAILURE;
}

/* Saves the model to folder/name and puts what the file says in its place. Returns its status. */
static vemfast_status through_file(vemfast_model** model, const char* folder, const char* name) {
    char path[1024];
    vemfast_status status;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    status = vemfast_save(*model, path);
    vemfast_free(*model);
    *model = NULL;
    return status == VEMFAST_OK ? vemfast_load(path, model) : status;
}

static double below(double n) { return n * (rand() / (RAND_MAX + 1.0)); }

/* ---- counts that change their rate every 50 steps, in two sequences ---------------------------- */

static int chain(const char* folder, const vemfast_fit_options* options) {
    static double counts[T];
    static int32_t states[T];
    const int64_t lengths[] = {400, 200};
    const vemfast_rows rows = VEMFAST_ROWS(counts, T, 1);
    vemfast_model* model = NULL;
    vemfast_status status;
    double joint[2];
    double score[2];
    for (int t = 0; t < T; ++t)
        counts[t] = (int)below(t / 50 % 2 == 0 ? 3.0 : 20.0);
    status = vemfast_fit(options, &rows, lengths, 2, 0, NULL, &model);
    if (status == VEMFAST_OK)
        status = through_file(&model, folder, "chain");
    if (status == VEMFAST_OK)
        status = vemfast_decode(model, &rows, lengths, 2, NULL, states, T, joint);
    if (status == VEMFAST_OK)
        status = vemfast_score_sequences(model, &rows, lengths, 2, NULL, score, 2);
    if (status == VEMFAST_OK)
        printf("%s: states %d and %d, best paths %.2f of %.2f nats\n", vemfast_class_name(model),
               (int)states[0], (int)states[60], joint[0], score[0]);
    vemfast_free(model);
    return status == VEMFAST_OK ? EXIT_SUCCESS : failed("chain");
}

static int many_chains(const vemfast_fit_options* options) {
    static double counts[MANY][T];
    vemfast_rows data[MANY];
    uint64_t random_states[MANY];
    vemfast_model* models[MANY];
    const vemfast_call call = {sizeof(vemfast_call), 2, NULL, NULL};
    size_t n_failed = 0;
    for (int i = 0; i < MANY; ++i) {
        const vemfast_rows rows = VEMFAST_ROWS(counts[i], T, 1);
        for (int t = 0; t < T; ++t)
            counts[i][t] = (int)below(t / 50 % 2 == 0 ? 3.0 : 20.0);
        data[i] = rows;
        random_states[i] = (uint64_t)i;
    }
    if (vemfast_fit_many(options, data, MANY, NULL, NULL, random_states, &call, models,
                         &n_failed) != VEMFAST_OK)
        return failed("many chains");
    printf("%d of %d chains fitted\n", (int)(MANY - n_failed), MANY);
    for (int i = 0; i < MANY; ++i)
        vemfast_free(models[i]);
    return EXIT_SUCCESS;
}

/* ---- documents of the first or of the last three words ------------------------------------------ */

static int topics(const char* folder, const vemfast_fit_options* options) {
    static int64_t starts[DOCUMENTS + 1];
    static int32_t words[3 * DOCUMENTS];
    static double counts[3 * DOCUMENTS];
    static double shares[DOCUMENTS * K];
    const vemfast_documents documents = {sizeof(vemfast_documents), DOCUMENTS, starts, words,
                                         counts};
    vemfast_model* model = NULL;
    vemfast_status status;
    for (int d = 0; d < DOCUMENTS; ++d) {
        for (int i = 3 * d; i < 3 * d + 3; ++i) {
            words[i] = i % 3 + d % 2 * 3;
            counts[i] = 1 + (int)below(9.0);
        }
        starts[d + 1] = 3 * (d + 1);
    }
    status = vemfast_fit_documents(options, &documents, WORDS, 0, NULL, &model);
    if (status == VEMFAST_OK)
        status = through_file(&model, folder, "topics");
    if (status == VEMFAST_OK)
        status = vemfast_transform_documents(model, &documents, NULL, shares, DOCUMENTS * K);
    if (status == VEMFAST_OK)
        printf("%s: the first document is %.0f %% of its main topic\n", vemfast_class_name(model),
               100.0 * (shares[0] > shares[1] ? shares[0] : shares[1]));
    vemfast_free(model);
    return status == VEMFAST_OK ? EXIT_SUCCESS : failed("topics");
}

/* ---- rows of bits, all the same but for noise ---------------------------------------------------- */

static int autoencoder(const char* folder, const vemfast_fit_options* options) {
    static float bits[N * D];
    static double z[N * K];
    static float codes[N * K];
    static double means[N * D];
    vemfast_rows rows = VEMFAST_ROWS(bits, N, D);
    vemfast_model* model = NULL;
    vemfast_status status;
    rows.is_float = 1;
    for (int i = 0; i < N * D; ++i)
        bits[i] = (i / D % 2 == i % D % 2) != (below(1.0) < 0.1) ? 1.0F : 0.0F;
    status = vemfast_fit(options, &rows, NULL, 1, 0, NULL, &model);
    if (status == VEMFAST_OK)
        status = through_file(&model, folder, "autoencoder");
    if (status == VEMFAST_OK)
        status = vemfast_transform(model, &rows, NULL, z, N * K);
    for (int i = 0; i < N * K; ++i)
        codes[i] = (float)z[i];
    if (status == VEMFAST_OK)
        status = vemfast_inverse_transform(model, codes, N, NULL, means, N * D);
    if (status == VEMFAST_OK)
        printf("%s: a bit that is %.0f is so with probability %.2f\n", vemfast_class_name(model),
               bits[0], bits[0] > 0 ? means[0] : 1.0 - means[0]);
    vemfast_free(model);
    return status == VEMFAST_OK ? EXIT_SUCCESS : failed("autoencoder");
}

int main(int argc, char** argv) {
    const char* folder = argc > 1 ? argv[1] : ".";
    const double two = 2.0;
    const double width = 16.0;
    const vemfast_parameter parameters[] = {
        {"n_components", NULL, &two, NULL, 0},
        {"hidden_layer_sizes", NULL, &width, NULL, 0}, /* of the autoencoder only */
    };
    const size_t size = sizeof(vemfast_fit_options);
    const vemfast_fit_options of_chain = {size, "PoissonHMM", parameters, 1, NULL, NULL};
    const vemfast_fit_options of_topics = {size, "LatentDirichletAllocation", parameters, 1, NULL,
                                           NULL};
    const vemfast_fit_options of_net = {size, "VariationalAutoencoder", parameters, 2, NULL, NULL};
    if (vemfast_c_abi() != VEMFAST_C_ABI) {
        fprintf(stderr, "compiled for ABI %d, but the library has %d\n", VEMFAST_C_ABI,
                vemfast_c_abi());
        return EXIT_FAILURE;
    }
    return chain(folder, &of_chain) || many_chains(&of_chain) || topics(folder, &of_topics) ||
                   autoencoder(folder, &of_net)
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}
