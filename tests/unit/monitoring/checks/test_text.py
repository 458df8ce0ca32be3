from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.monitoring.test_words import ODD, some_texts
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Finding, Outcome
from steward.monitoring.checks.text import judge_words
from steward.monitoring.profiles.words import Vocabulary, vocabulary_of, word_counts
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import ColumnTally, Tally

SPEC = a_spec(data=a_data_section({"remark": {"type": "text"}, "x": {"type": "number"}}))
KNOWN = vocabulary_of(some_texts(3000, 0))


def a_reading(texts: Sequence[Any], known: Vocabulary | None = KNOWN) -> Reading:
    profile = {"features": {"remark": {"words": known.to_json()} if known else {}}}
    words = word_counts(texts, known) if known else None
    return Reading(SPEC, profile, WEEK, Tally("digest", {"remark": ColumnTally(rows=len(texts), words=words)}))


def judged(texts: Sequence[Any], known: Vocabulary | None = KNOWN) -> tuple[Finding, Finding]:
    unseen, words = judge_words(a_reading(texts, known))
    assert (unseen.gate, words.gate) == ("drift.unseen_words:remark", "drift.words:remark")
    return unseen, words


def test_texts_of_the_same_kind_pass() -> None:
    unseen, words = judged(some_texts(2000, 1))
    assert unseen.outcome is words.outcome is Outcome.PASSED
    assert "PSI 0.0" in words.reason


def test_words_the_reference_never_had() -> None:
    unseen, _ = judged([f"{text} gulfstream" if n % 2 else text for n, text in enumerate(some_texts(1000, 1))])
    assert unseen.outcome is Outcome.FAILED
    assert unseen.value == pytest.approx(0.5 / 12.5, abs=0.005)
    assert "4.4% of the words of remark are not among the reference's, usually 0.4%" in unseen.reason


def test_known_words_that_come_more_often() -> None:
    """No word is new: every text has the rare words in place of the frequent ones."""
    swapped = [" ".join(f"w{150 - int(w[1:])}" for w in t.split()) for t in some_texts(1000, 1, words=150)]
    unseen, words = judged(swapped)
    assert unseen.outcome is Outcome.PASSED
    assert words.outcome is Outcome.FAILED
    assert words.value is not None
    assert words.value > 0.5


def test_many_words_of_few_texts_are_weak_evidence() -> None:
    """Words of a text go together: saying three words thirty times is no evidence of ninety draws."""
    few = some_texts(110, 1, length=3)
    long = [" ".join([text] * 30) for text in few]
    assert judged(long)[1].outcome is Outcome.INCONCLUSIVE
    assert "cannot be told from chance" in judged(long)[1].reason


def test_false_alarms_are_as_rare_as_promised() -> None:
    """With limits of nothing, so that chance alone decides: of 2 × 60 tests at 2.5 % some 3 fail; more than 10 would
    come by chance once in 1,000 times."""
    drift = {"psi": {"max": 0.0}, "unseen": {"max": 0.0}}
    spec = a_spec(data=SPEC.data.model_dump(), monitoring={"drift": drift})
    failed = 0
    for seed in range(60):
        known = vocabulary_of(some_texts(400, 1000 + seed, words=5000))
        words = word_counts(some_texts(300, 2000 + seed, words=5000), known)
        profile = {"features": {"remark": {"words": known.to_json()}}}
        reading = Reading(spec, profile, WEEK, Tally("digest", {"remark": ColumnTally(rows=300, words=words)}))
        failed += sum(finding.outcome is Outcome.FAILED for finding in judge_words(reading))
    assert failed <= 10


@pytest.mark.parametrize(
    ("texts", "known", "said"),
    [
        (some_texts(99, 1), KNOWN, "99 texts of the window, 100 are needed"),
        ([None, ""] * 200, KNOWN, "0 texts of the window"),
        (some_texts(200, 1), vocabulary_of(ODD), "5 texts of the reference, 100 are needed"),
        (some_texts(200, 1), None, "registered without the words of remark"),
    ],
)
def test_too_little_is_said(texts: Sequence[Any], known: Vocabulary | None, said: str) -> None:
    for finding in judged(texts, known):
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert said in finding.reason


def test_a_column_that_is_gone() -> None:
    reading = a_reading([])
    for tally in (Tally("digest"), Tally("digest", {"remark": ColumnTally(rows=9, absent=9)})):
        found = judge_words(Reading(SPEC, reading.profile, WEEK, tally))
        assert {finding.outcome for finding in found} == {Outcome.INCONCLUSIVE}


def test_odd_texts_among_others_are_no_fault() -> None:
    assert len(judged([*some_texts(500, 1), *ODD])) == 2


def test_a_limit_of_the_feature_holds_for_its_words() -> None:
    lax = {"psi": {"max": 0.1}, "features": {"remark": {"max": 9}}}
    spec = a_spec(data=SPEC.data.model_dump(), monitoring={"drift": lax})
    reading = a_reading([" ".join(np.random.default_rng(n).choice(["w1", "w2"], 9)) for n in range(500)])
    assert judge_words(reading)[1].outcome is Outcome.FAILED
    found = judge_words(Reading(spec, reading.profile, WEEK, reading.tally))[1]
    assert (found.outcome, found.limit) == (Outcome.PASSED, 9)
