"""When a curve of held-out score against seconds comes to a score."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # at the end: vemfast is the installed one
from benchmarks.topics import lda_curves

CURVE = [(1, 2.0, -8.0), (2, 4.0, -7.5), (4, 8.0, -7.6), (8, 16.0, -7.0)]


def test_a_peer_is_met_on_the_line_between_its_points_and_we_at_a_point():
    for between, seconds in ((True, 3.0), (False, 4.0)):
        assert lda_curves._reached(CURVE, -7.75, between) == seconds
        assert lda_curves._reached(CURVE, -7.5, between) == 4.0
        assert lda_curves._reached(CURVE, -9.0, between) == 2.0
        assert lda_curves._reached(CURVE, -6.9, between) is None
    assert lda_curves._reached(CURVE, -7.3, True) == 12.0  # not on the way down


def test_the_fastest_of_both_sides_are_compared():
    found = {
        "scikit-learn batch": CURVE,
        "tomotopy Gibbs": [(1, 1.0, -9.0), (9, 9.0, -7.05)],
        "mean-field": [(1, 0.5, -7.2), (9, 3.0, -7.05)],
        "gibbs": [(1, 0.5, -8.0), (9, 0.9, -7.06)],
        "hard-em": [(1, 0.1, -8.5)],
    }
    record = lda_curves._compared("X", found, {})
    assert record["facts"]["best score of a peer"] == "-7.0000 (scikit-learn batch)"
    assert set(record["seconds"]) == set(found) - {"hard-em"}  # -7.07 is never reached
    *others, last = record["quotients"]
    assert [q["name"] for q in others] == ["tomotopy Gibbs / mean-field"]
    assert last["name"] == "tomotopy Gibbs / gibbs"
    assert last["least"] == 1.0
    assert last["value"] > 1.0
