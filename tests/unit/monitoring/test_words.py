from __future__ import annotations

import json

import numpy as np
import pytest

from steward.monitoring.profiles.words import (
    BUCKETS,
    MOST_CHARACTERS,
    MOST_WORDS,
    Vocabulary,
    tokenise,
    vocabulary_of,
    word_counts,
)
from steward.monitoring.tallies import Words

ODD = ["", None, float("nan"), 7, "🚗🚗", "中文字", "\ud800 half a surrogate", "e\u0301", "x" * 1_000_000, "\x00"]


def some_texts(count: int, seed: int, words: int = 2000, length: int = 12) -> list[str]:
    """Words as frequent as in a language: the k-th has weight 1/k."""
    draw, weights = np.random.default_rng(seed), 1 / np.arange(1, words + 1)
    drawn = draw.choice(words, (count, length), p=weights / weights.sum())
    return [" ".join(f"w{word}" for word in row) for row in drawn]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP", ["don", "t", "stop"]),
        ("größer, Ελλάδα", ["größer", "ελλάδα"]),
        ("abc中文", ["abc", "中", "文"]),
        ("on time 🚗🚗!", ["on", "time", "🚗", "🚗"]),
        (" \t—…", []),
    ],
)
def test_a_word_in_any_script(text: str, words: list[str]) -> None:
    assert tokenise(text) == words


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    texts, known = some_texts(2500, 1), vocabulary_of(some_texts(500, 0))
    whole, parts = word_counts(texts, known), [word_counts(texts[at : at + 700], known) for at in range(0, 2500, 700)]
    added = sum(parts, Words())
    assert (added.total, added.unseen, added.buckets) == (whole.total, whole.unseen, whole.buckets)
    assert added.per_text.product == pytest.approx(whole.per_text.product)
    assert added.spread == pytest.approx(whole.spread)
    assert whole.texts == 2500
    assert sum(whole.buckets) == whole.total == 2500 * 12


def test_by_hand() -> None:
    known = vocabulary_of(["late crew", "late bus", "crew bus"])
    found = word_counts(["late late snow", "ice", "", "crew"], known)
    assert (found.total, found.unseen, found.texts) == (5, 2, 3)
    assert found.per_text.x.mean == pytest.approx(5 / 3)
    assert found.per_text.y.mean == pytest.approx(2 / 3)


def test_the_reference_is_read_as_a_further_text_would_be() -> None:
    """Else every window would have more unseen words than a reference that has, by its nature, none."""
    known = vocabulary_of(some_texts(300, 0, words=20_000))
    fresh = word_counts(some_texts(5000, 1, words=20_000), known)
    expected = known.reference.unseen / known.reference.total
    assert expected > 0.1
    assert fresh.unseen / fresh.total == pytest.approx(expected, abs=0.02)


def test_also_where_the_vocabulary_is_full() -> None:
    known = vocabulary_of(some_texts(5000, 0, words=60_000))
    fresh = word_counts(some_texts(5000, 1, words=60_000), known)
    assert len(known.words) == MOST_WORDS
    assert fresh.unseen / fresh.total == pytest.approx(known.reference.unseen / known.reference.total, abs=0.01)


def test_independent_words_have_the_spread_of_a_multinomial() -> None:
    known = vocabulary_of(some_texts(4000, 0))
    found = word_counts(some_texts(4000, 1), known)
    assert found.spread / found.total / (BUCKETS - 1) == pytest.approx(1, abs=0.1)
    doubled = word_counts([f"{text} {text}" for text in some_texts(4000, 1)], known)
    assert doubled.spread / doubled.total / (BUCKETS - 1) == pytest.approx(2, abs=0.2)


def test_it_is_small_plain_json_and_comes_back() -> None:
    known = vocabulary_of(some_texts(5000, 0, words=60_000))
    text = json.dumps(known.to_json(), allow_nan=False)
    back = Vocabulary.from_json(json.loads(text))
    assert len(text) < 30_000
    assert (back.words == known.words).all()
    assert back.reference == known.reference


def test_whatever_a_text_may_hold() -> None:
    known = vocabulary_of(ODD)
    found = word_counts(ODD, known)
    assert found.texts == 5  # the empty one and the zero byte have no word
    assert Words.from_json(found.to_json()) == found
    assert word_counts(["a " * MOST_CHARACTERS], known).total == MOST_CHARACTERS // 2


@pytest.mark.parametrize("nothing", [[], [None, ""]])
def test_no_words_at_all(nothing: list[str | None]) -> None:
    known = vocabulary_of(nothing)
    assert len(known.words) == 0
    assert known.reference.total == 0
    assert word_counts(["new"], known).unseen == 1
    assert Vocabulary.from_json(known.to_json()).reference == known.reference


def test_the_same_words_whatever_the_order() -> None:
    texts = some_texts(800, 3)
    assert (vocabulary_of(texts).words == vocabulary_of(texts[::-1]).words).all()
