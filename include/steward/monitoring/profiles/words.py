"""The words of a text feature: which the reference had, and how those of a window fall into hashed buckets.

A word is a run of letters and digits in lower case; of scripts written without spaces it is a single character, and so
is an emoji. Only hashes are kept: 32 bits of CRC-32 name a word, the upper eight its bucket.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.tallies import CoMoments, Words
from steward.types import JsonObject

MOST_WORDS = 5000
MOST_CHARACTERS = 10_000  # of one text; what comes after is not read
REFERENCE_TEXTS = 20_000  # drawn from a longer reference: the frequent words are known by then
BUCKETS = 256
_AT_ONCE = 1000  # texts; bounds the memory of a count
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han
)
_SYMBOLS = "\u2600-\u27bf\U0001f000-\U0001faff"
_WORD = re.compile(f"[{_UNSPACED}{_SYMBOLS}]|[^\\W{_UNSPACED}]+")
Hashes = NDArray[np.uint32]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def tokenise(text: str) -> list[str]:
    """`Don't 🚗` → don, t, 🚗."""
    return _WORD.findall(text[:MOST_CHARACTERS].lower())


@dataclass(frozen=True)
class Vocabulary:
    """The words of a reference, and what its own texts come to when each is held against all the others.

    `words`: hashes of those found in most texts, MOST_WORDS at most, ascending. In `reference` a word is unseen that
    no other text has, or that is not among them: what a further text of the same kind would have, so a window without
    drift has the same share.
    """

    words: Hashes
    reference: Words

    @property
    def shares(self) -> Floats:
        """Per bucket, half a word added so that none is zero."""
        return _shares(np.asarray(self.reference.buckets))

    def to_json(self) -> JsonObject:
        packed = base64.b64encode(self.words.astype("<u4").tobytes()).decode()
        return {"vocabulary": packed, "reference": self.reference.to_json()}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        words = np.frombuffer(base64.b64decode(value["vocabulary"]), "<u4").astype(np.uint32)
        return cls(words, Words.from_json(value["reference"]))


def vocabulary_of(values: Iterable[Any], *, most: int = MOST_WORDS) -> Vocabulary:
    """Of the reference's texts; what is no text is passed over. The same texts give the same vocabulary."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) > REFERENCE_TEXTS:
        drawn = np.random.default_rng(0).choice(len(texts), REFERENCE_TEXTS, replace=False)
        texts = [texts[place] for place in np.sort(drawn)]
    words, found_in = _found_in(texts)
    kept = _most_frequent(words, found_in, most)
    elsewhere = _most_frequent(words, found_in, most, without_one=True)
    return Vocabulary(kept, _count(texts, elsewhere, _shares(_buckets(texts))))


def word_counts(values: Iterable[Any], vocabulary: Vocabulary) -> Words:
    """Of a window's texts, or any part of them: the counts add up."""
    return _count([value for value in values if isinstance(value, str)], vocabulary.words, vocabulary.shares)


def _most_frequent(words: Hashes, found_in: Counts, most: int, *, without_one: bool = False) -> Hashes:
    """The words in most texts, ties by hash; `without_one`: those that remain so if a text that has them goes."""
    order = np.lexsort((words, -found_in))[:most]
    if not without_one or not len(order):
        return np.sort(words[order])
    full = len(order) == most
    least, tie = (found_in[order[-1]], words[order[-1]]) if full else (1, np.iinfo(np.uint32).max)
    left = found_in - 1
    stays = (left > least) | ((left == least) & (words <= tie))
    return words[stays]


def _shares(counts: Counts) -> Floats:
    return (counts + 0.5) / (counts.sum() + 0.5 * BUCKETS)


class _Named(dict[str, int]):
    """Each different word is hashed once."""

    def __missing__(self, word: str) -> int:
        self[word] = found = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return found


@dataclass(frozen=True)
class _Chunk:
    """All words of some texts in order, and how many each text has; texts without a word are left out."""

    words: Hashes
    lengths: Counts

    @property
    def text_of(self) -> Counts:
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def _chunks(texts: Sequence[str]) -> Iterator[_Chunk]:
    for start in range(0, len(texts), _AT_ONCE):
        hashes = _Named()
        split = [found for found in map(tokenise, texts[start : start + _AT_ONCE]) if found]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        words = np.fromiter((hashes[word] for found in split for word in found), np.uint32, int(lengths.sum()))
        yield _Chunk(words, lengths)


def _found_in(texts: Sequence[str]) -> tuple[Hashes, Counts]:
    """Every word, and the number of texts that have it."""
    words, times = np.empty(0, np.uint32), np.empty(0, np.int64)
    for chunk in _chunks(texts):
        once = np.unique(chunk.text_of.astype(np.uint64) << np.uint64(32) | chunk.words)
        here, found = np.unique(once.astype(np.uint32), return_counts=True)
        words, place = np.unique(np.concatenate([words, here]), return_inverse=True)
        times = np.bincount(place, np.concatenate([times, found]), len(words)).astype(np.int64)
    return words, times


def _buckets(texts: Sequence[str]) -> Counts:
    counts = np.zeros(BUCKETS, np.int64)
    for chunk in _chunks(texts):
        counts += np.bincount(chunk.words >> 24, minlength=BUCKETS)
    return counts


def _count(texts: Sequence[str], known: Hashes, shares: Floats) -> Words:
    whole = Words(buckets=(0,) * BUCKETS)
    for chunk in _chunks(texts):
        whole = whole + _counted(chunk, known, shares)
    return whole


def _counted(chunk: _Chunk, known: Hashes, shares: Floats) -> Words:
    if not len(chunk.words):
        return Words()
    unseen = ~np.isin(chunk.words, known)
    lengths = chunk.lengths.astype(np.float64)
    per_text = np.bincount(chunk.text_of, unseen, len(lengths)).astype(np.float64)
    return Words(
        len(chunk.words),
        int(unseen.sum()),
        tuple(np.bincount(chunk.words >> 24, minlength=BUCKETS).tolist()),
        CoMoments.of(lengths, per_text),
        _spread(chunk, shares),
    )


def _spread(chunk: _Chunk, shares: Floats) -> float:
    """Σ (count − p n)² / p over texts and buckets = Σ count² / p − Σ n², as the shares sum to one."""
    cells, counts = np.unique(chunk.text_of * BUCKETS + (chunk.words >> 24), return_counts=True)
    return float((counts**2 / shares[cells % BUCKETS]).sum() - (chunk.lengths**2).sum())
