"""The command with topics: fit lda, topics, transform, and the second half of the demo."""

import gzip
import re

import numpy as np
import pytest

import vemfast
from vemfast import GaussianMixture, LatentDirichletAllocation
from vemfast.cli import demo_topics, main
from vemfast.io import read_corpus, write_corpus

WORDS = [f"word{i}" for i in range(12)]
_rng = np.random.default_rng(1)
_TOPICS = np.kron(np.eye(2), np.ones(6) / 6)
X = np.array([_rng.multinomial(30, _TOPICS[i % 2]) for i in range(40)])


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_corpus("corpus.ldac", X)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")


@pytest.fixture
def model(capsys):
    command = "fit lda corpus.ldac --vocab vocab.txt -k 2 --seed 0 -o model.safetensors"
    assert main(command.split()) == 0
    capsys.readouterr()
    return "model.safetensors"


def without_names(path):
    """Load a model that takes columns without names and does not warn."""
    estimator = vemfast.load(path)
    del estimator.feature_names_in_
    return estimator


def failure(capsys, command):
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_fit_takes_a_corpus_and_says_what_it_reached(capsys):
    command = "fit lda corpus.ldac -k 2 --seed 0 --max-iter 7 -o m"
    assert main(command.split()) == 0
    printed = capsys.readouterr().out
    same = LatentDirichletAllocation(2, random_state=0, max_iter=7).fit(X)
    assert "rows         40 x 12\n" in printed
    per_token = same.lower_bound_ / X.sum()
    assert f"objective    {same.lower_bound_:.8g} nats, {per_token:.6g} a token\n" in printed
    assert "iterations   7 in " in printed
    np.testing.assert_array_equal(vemfast.load("m").components_, same.components_)


def test_without_a_name_the_model_is_named_as_the_data(capsys):
    assert (
        main(["fit", "lda", "corpus.ldac", "--vocab", "vocab.txt", "-k", "2", "--seed", "0"]) == 0
    )
    assert "saved        corpus.safetensors\n" in capsys.readouterr().out
    fitted = vemfast.load("corpus.safetensors")
    assert fitted.components_.shape == (2, 12)
    assert "corpus.safetensors: is there already" in failure(capsys, "fit lda corpus.ldac -k 3")
    np.testing.assert_array_equal(
        vemfast.load("corpus.safetensors").components_, fitted.components_
    )
    with gzip.open("docword.c.txt.gz", "wt") as file:
        file.write("2\n3\n2\n1 1 1\n2 3 1\n")
    assert main(["fit", "lda", "docword.c.txt.gz", "-k", "2", "-q"]) == 0
    assert vemfast.load("docword.c.safetensors").components_.shape == (2, 3)


def test_topics_prints_words_of_the_fit_or_of_a_file(capsys, model, tmp_path):
    estimator = vemfast.load(model)
    assert list(estimator.feature_names_in_) == WORDS
    assert main(["topics", model, "-n", "6"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["0", "1"]
    assert {tuple(sorted(line[2:])) for line in lines} == {
        tuple(sorted(WORDS[:6])), tuple(sorted(WORDS[6:])),
    }  # fmt: skip
    (tmp_path / "other.txt").write_text("\n".join(f"w{i}" for i in range(12)))
    assert main(["topics", model, "-n", "1", "--vocab", "other.txt"]) == 0
    tops = [line.split()[2] for line in capsys.readouterr().out.splitlines()]
    assert tops == [f"w{words.argmax()}" for words in estimator.topic_word_]


def test_topics_begin_with_the_largest_share(capsys, tmp_path):
    unequal = X[np.r_[0:40:2, 1:9:2]]
    LatentDirichletAllocation(
        2, doc_topic_prior="learn", random_state=0, max_iter=30
    ).fit(unequal).save("m")  # fmt: skip
    assert main(["topics", "m", "-n", "2"]) == 0
    shares = [float(line.split()[1][:-1]) for line in capsys.readouterr().out.splitlines()]
    assert shares[0] > 60 > 40 > shares[1]


def test_transform_writes_proportions(capsys, model):
    expected = without_names(model).transform(X)
    assert main(["transform", model, "corpus.ldac"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "topic_0,topic_1"
    np.testing.assert_array_equal([[float(x) for x in row.split(",")] for row in rows], expected)
    assert main(["transform", model, "corpus.ldac", "--vocab", "vocab.txt", "-o", "t.npy"]) == 0
    np.testing.assert_array_equal(np.load("t.npy"), expected)


def test_score_is_of_held_out_words(capsys, model):
    assert main(["score", model, "corpus.ldac", "--vocab", "vocab.txt"]) == 0
    own = without_names(model).held_out_score(read_corpus("corpus.ldac").counts)
    assert capsys.readouterr().out == f"{float(own)!r} nats a held-out token\n"
    assert main(["score", model, "corpus.ldac", "--each"]) == 2
    assert "documents have one score together" in capsys.readouterr().err
    assert main(["score", model, "corpus.ldac", "--lengths", "l.txt"]) == 2
    assert "--lengths is not for documents" in capsys.readouterr().err


def test_a_corpus_that_uses_fewer_words_is_as_wide_as_the_fit(capsys, model):
    write_corpus("few.ldac", X[::2, :3])
    assert main(["transform", model, "few.ldac", "-o", "t.npy"]) == 0
    wide = np.zeros((20, 12))
    wide[:, :3] = X[::2, :3]
    np.testing.assert_array_equal(np.load("t.npy"), without_names(model).transform(wide))


def test_priors_are_numbers_or_learned(capsys):
    command = "fit lda corpus.ldac -k 2 --seed 0 -q -o m --doc-topic-prior"
    assert main([*command.split(), "0.3", "--topic-word-prior", "learn"]) == 0
    assert vemfast.load("m").doc_topic_prior_.tolist() == [0.3, 0.3]
    assert vemfast.load("m").topic_word_prior == "learn"
    assert main([*command.split(), "learn-symmetric"]) == 0
    assert np.ptp(vemfast.load("m").doc_topic_prior_) == 0
    assert failure(capsys, f"{command} some").startswith(
        "vemfast fit lda: error: argument --doc-topic-prior: invalid prior value: 'some'"
    )


def test_errors_say_what_to_do(capsys, model):
    assert "variational-em" in failure(capsys, "fit lda corpus.ldac -k 2 -o m --inference em")
    write_corpus("wide.ldac", np.ones((3, 15)))
    assert failure(capsys, f"transform {model} wide.ldac").startswith("vemfast: error: wide.ldac:")
    with open("swapped.txt", "w") as file:
        file.write("\n".join([WORDS[1], WORDS[0], *WORDS[2:]]))
    assert failure(capsys, f"transform {model} corpus.ldac --vocab swapped.txt").startswith(
        "vemfast: error: swapped.txt: word 0 is 'word1', but the model's is 'word0'"
    )
    np.save("x.npy", X)
    assert failure(capsys, f"predict {model} x.npy").endswith("use vemfast transform")
    GaussianMixture(1).fit(X[:, :2]).save("gmm")
    a_mixture = "vemfast: error: gmm: a GaussianMixture has"
    assert failure(capsys, "topics gmm") == f"{a_mixture} no topics"
    assert failure(capsys, "transform gmm corpus.ldac") == (
        f"{a_mixture} components: use vemfast predict"
    )


# ---- the demo -------------------------------------------------------------------------------


def test_docstrings_are_read_without_importing(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Of a."""\nclass C:\n    """Of C."""\n    def f(self):\n        """Of f."""\n'
        'async def g():\n    "Of g."\nx = "not one"\nraise SystemExit\n'
    )
    (tmp_path / "b.py").write_text("not Python\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "c.py").write_text('"""A test."""\n')
    assert list(demo_topics.docstrings(tmp_path)) == ["Of a.", "Of C.", "Of g.", "Of f."]


def test_a_corpus_counts_words_that_are_neither_rare_nor_common():
    texts = [f"common {'alpha beta ' * 5}{'rare' if i == 0 else ''}" for i in range(6)]
    texts += ["common Gamma-gamma " * 4 for _ in range(6)] + ["common"] * 60
    counts, words = demo_topics.corpus(texts)
    assert words == ["alpha", "beta", "gamma"]
    # Of the texts with gamma too few words are left.
    np.testing.assert_array_equal(counts.toarray(), np.tile([5.0, 5.0, 0.0], (6, 1)))


def test_the_demo_prints_topics(capsys, monkeypatch):
    texts = [" ".join(f"{'abcdefgh'[w % 8] * 3}{'xy'[i % 2] * 2}" for w in range(12 + i % 3))
             for i in range(200)]  # fmt: skip
    monkeypatch.setattr(demo_topics, "docstrings", lambda folder: texts)
    monkeypatch.setattr(demo_topics, "_LARGEST_SHARE", 0.6)
    monkeypatch.setattr(demo_topics, "_TOPICS", 4)
    demo_topics.run()
    printed = capsys.readouterr().out
    assert "200 documents, 16 words" in printed
    assert re.search(r"objective -[\d.]+ nats, -[\d.]+ a token; [\d.]+ s, [\d,]+ tokens a second",
                     printed)  # fmt: skip
    for line in printed.splitlines()[3:5]:
        endings = {word[-2:] for word in line.split()[1:]}
        assert len(endings) == 1  # a topic is one of the two halves


def test_corpus_files_survive(tmp_path):
    np.testing.assert_array_equal(read_corpus("corpus.ldac", "vocab.txt").counts.toarray(), X)
