"""Text to ids: the byte-level BPE of Qwen2 with the special tokens of CosyVoice 2.

A vocabulary directory (`CosyVoice-BlankEN` in a checkpoint) holds `vocab.json`, `merges.txt` and
`tokenizer_config.json`.  The special tokens follow the ordinary entries in a fixed order, so the
official vocabulary of 151643 entries gives the official ids and a small one works the same way.
Nothing is added to a text: no begin token, no end token.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from cosy.errors import MismatchError, MissingFileError, ParameterError
from cosy.text.pronunciation import PRONUNCIATIONS_FILE, WORDS, Pronunciations, PronunciationStream
from cosy.text.sandhi import Sandhi, SandhiStream, Spelling
from cosy.text.special_tokens import END_OF_PROMPT, SPECIAL, SPECIAL_TOKENS, unfinished
from cosy.text.unicode import drop_lone_surrogates, last_cluster

VOCAB_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
CONFIG_FILE = "tokenizer_config.json"
SANDHI = "tone_sandhi"  # in that file, see `cosy.text.sandhi`
PRONUNCIATIONS = "pronunciations"  # in that file: the name of a dictionary, see `cosy.text.pronunciation`

_SPECIAL = re.compile(f"({SPECIAL.pattern})")  # that splits and keeps them
_LONG_WORD = 32  # characters; far longer than any contraction

# Contractions; a run of letters with one leading mark or space; single digits; punctuation; white space.
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


class TextTokenizer:
    """The tokenizer of one vocabulary directory; `max_length` is how many ids a model of it reads at once.

    Where the vocabulary has a way, `sandhi` writes 一 and 不 as they are said and `pronunciations` English words as
    phones, and decoding gives what they wrote.

    Raises MissingFileError if a file is absent and MismatchError if one is damaged or does not fit
    the others; both name the file.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._tokenizer, config = _load(self.directory)
        self.max_length = _max_length(self.directory / CONFIG_FILE, config)
        self.sandhi = Sandhi(_spellings(self.directory / CONFIG_FILE, config))
        self.pronunciations = _pronunciations(self.directory, config)
        self.vocab_size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.special_ids = dict(
            zip(SPECIAL_TOKENS, range(self.vocab_size - len(SPECIAL_TOKENS), self.vocab_size), strict=True)
        )

    @property
    def end_of_prompt_id(self) -> int:
        """Id of `<|endofprompt|>`, which ends an instruction."""
        return self.special_ids[END_OF_PROMPT]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; special tokens inside it are recognised.  Lone surrogates are dropped."""
        return self.encode_spelt(self.pronunciations.spell(self.sandhi.spell(drop_lone_surrogates(text))))

    def encode_spelt(self, text: str) -> list[int]:
        """Ids of a text, or of a part of one, as `sandhi` and `pronunciations` have spelt it."""
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """Text of `ids`; bytes that form no character come back as U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def encode_stream(self, pieces: Iterable[str], official: bool = False) -> Iterator[int]:
        """Ids of a text that arrives in pieces, each as soon as it is certain.

        By default the ids are exactly those of the joined text, wherever the pieces were cut; what a
        later piece could still change is held back (a few characters).  With `official` each piece is
        tokenised on its own, as CosyVoice does, so the ids depend on the cuts.
        """
        if official:
            for piece in pieces:
                yield from self.encode(piece)
            return
        stream = TokenStream(self)
        for piece in pieces:
            yield from stream.push(piece)
        yield from stream.finish()

    @cached_property
    def _entries(self) -> list[str]:
        """The ordinary entries in the byte alphabet, sorted for prefix look-ups."""
        return sorted(self._tokenizer.get_vocab(with_added_tokens=False))

    @cached_property
    def _longest_entry(self) -> int:
        return max(map(len, self._entries))

    def _starts_entry(self, symbols: str) -> bool:
        at = bisect_left(self._entries, symbols)
        return at < len(self._entries) and self._entries[at].startswith(symbols)

    def words(self, text: str) -> list[tuple[str, int]]:
        """The pre-tokens of `text` (in NFC, without special tokens) in the byte alphabet, and where each starts."""
        return [(word, start) for word, (start, _) in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    def merge(self, word: str) -> list[tuple[str, int]]:
        """Entries and ids of one pre-token in the byte alphabet."""
        return [(token.value, token.id) for token in self._tokenizer.model.tokenize(word)]

    def settled(self, word: str) -> list[tuple[str, int]]:
        """The leading part of `merge(word)` that stays the same however the word goes on.

        One token will cover the word's present end, and that token starts at some earlier point; no
        merge crosses a token's edge, so what precedes the point is merged as if it stood alone.  What
        is common to all possible points is therefore settled.
        """
        points = range(max(0, len(word) - self._longest_entry), len(word))
        heads = [self.merge(word[:point]) for point in points if self._starts_entry(word[point:])]
        return _common_start([*heads, self.merge(word)])


class TokenStream:
    """Tokenises a text that arrives in pieces; see `TextTokenizer.encode_stream`."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._sandhi = SandhiStream(tokenizer.sandhi)
        self._pronunciations = PronunciationStream(tokenizer.pronunciations)
        self._held = ""  # text from the start of a word on
        self._done = 0  # leading symbols of that word whose ids were delivered

    def push(self, piece: str) -> list[int]:
        """Add a piece; returns the ids that no later piece can change."""
        return self._add(self._pronunciations.push(self._sandhi.push(drop_lone_surrogates(piece))))

    def finish(self) -> list[int]:
        """The remaining ids; the stream is empty afterwards."""
        rest = self._pronunciations.push(self._sandhi.finish()) + self._pronunciations.finish()
        return self._add(rest) + self._close()

    def _add(self, text: str) -> list[int]:
        ids: list[int] = []
        # Special tokens are recognised before all else, so each completes the words before it.
        *closed, rest = _SPECIAL.split(self._held + text)
        for words, special in zip(closed[::2], closed[1::2], strict=True):
            self._held = words
            ids += [*self._close(), self._tokenizer.special_ids[special]]
        self._held = rest
        return ids + self._take(*_unchanging(rest))

    def _close(self) -> list[int]:
        return self._take(len(self._held), complete=True)

    def _take(self, end: int, complete: bool) -> list[int]:
        """Deliver the ids of `held[:end]` and forget it; the last word stays unless it is `complete`."""
        text = unicodedata.normalize("NFC", self._held[:end])
        words = self._tokenizer.words(text)
        ids: list[int] = []
        for word, _ in words if complete else words[:-1]:
            ids += [token for _, token in self._tokenizer.merge(word[self._done :])]
            self._done = 0
        kept = len(text)
        if words and not complete:
            word, kept = words[-1]
            settled = self._tokenizer.settled(word[self._done :])
            ids += [token for _, token in settled]
            self._done += sum(len(symbols) for symbols, _ in settled)
        self._held = self._shorten(text[kept:]) + self._held[end:]
        return ids

    def _shorten(self, word: str) -> str:
        """Drop the delivered start of a very long word, or each piece would walk through all of it again.

        The rest is a run of letters or of symbols like the whole, and two characters of it are enough
        to be taken for the same kind.
        """
        if len(word) < _LONG_WORD:
            return word
        drop, symbols = 0, 0
        while drop < len(word) - 2 and symbols + (size := len(word[drop].encode())) <= self._done:
            drop, symbols = drop + 1, symbols + size
        self._done -= symbols
        return word[drop:]


def _unchanging(text: str) -> tuple[int, bool]:
    """How many leading characters of `text` no continuation can change, and whether their last word is complete.

    What can change: the start of a special token, white space (it may join the next word), and the last
    character (a combining mark may follow).  A blank ends the word before it; a line break may join it.
    """
    body = text[: unfinished(text)]
    end = len(body.rstrip())
    if end and text[end : end + 1] in (" ", "\t"):
        return end, True
    return len(body[: last_cluster(body[:end])].rstrip()), False


def _common_start(lists: list[list[tuple[str, int]]]) -> list[tuple[str, int]]:
    shared = takewhile(lambda column: len(set(column)) == 1, zip(*lists, strict=False))
    return [column[0] for column in shared]


def train_bpe(texts: Iterable[str], vocab_size: int, directory: Path) -> TextTokenizer:
    """Learn a byte-level BPE in the same file format and write it to `directory`.

    `vocab_size` counts the entries of vocab.json (at least the 256 bytes); the special tokens come on
    top.  A small corpus may give fewer.  The same texts give the same files.
    """
    if vocab_size < 256:
        raise ParameterError(f"vocab_size must be at least 256, one entry per byte, got {vocab_size}")
    tokenizer = _assemble(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=_byte_alphabet(), special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator(map(drop_lone_surrogates, texts), trainer)
    return _write(tokenizer.model, directory)


def _write(
    model: models.BPE,
    directory: Path,
    max_length: int | None = None,
    sandhi: Mapping[str, Spelling] | None = None,
    dictionary: Path | None = None,
) -> TextTokenizer:
    directory.mkdir(parents=True, exist_ok=True)
    model.save(str(directory))
    base = len(_read_vocab(directory / VOCAB_FILE))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        **({} if max_length is None else {"model_max_length": max_length}),
        **({} if not sandhi else {SANDHI: {character: asdict(spelling) for character, spelling in sandhi.items()}}),
        **({} if dictionary is None else {PRONUNCIATIONS: PRONUNCIATIONS_FILE}),
        "added_tokens_decoder": {
            str(base + offset): {"content": token, "special": True} for offset, token in enumerate(SPECIAL_TOKENS)
        },
    }
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if dictionary is not None:
        shutil.copyfile(dictionary, directory / PRONUNCIATIONS_FILE)
    return TextTokenizer(directory)


def add_characters(
    source: Path,
    characters: Iterable[str],
    directory: Path,
    max_length: int | None = None,
    sandhi: Mapping[str, Spelling] | None = None,
) -> TextTokenizer:
    """Write the vocabulary `source` to `directory` with every character of `characters` as one entry of its own.

    Ids of `source` stay; the special tokens move behind the new entries.  `max_length` is written as
    `model_max_length`: the ids that a segment of text may have.  `sandhi` is how 一 and 不 are written for it.
    """
    vocab, merges = _read_vocab(source / VOCAB_FILE), _read_merges(source / MERGES_FILE)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in characters:
        whole = letters.pre_tokenize_str(character)[0][0]
        for end in range(2, len(whole) + 1):  # left to right, so that characters with like beginnings share a merge
            if whole[:end] not in vocab:
                merges.append((whole[: end - 1], whole[end - 1]))
                vocab[whole[:end]] = len(vocab)
    return _write(models.BPE(vocab, merges), directory, max_length, sandhi)


def add_pronunciations(
    source: Path, dictionary: Path, texts: Iterable[str], entries: int, directory: Path
) -> TextTokenizer:
    """Write the vocabulary `source` to `directory` with a pronouncing dictionary and `entries` for runs of phones.

    The runs are learned from the words of `texts` that the dictionary knows.  Ids of `source` stay; the special tokens
    move behind the new entries.
    """
    vocab, merges = _read_vocab(source / VOCAB_FILE), _read_merges(source / MERGES_FILE)
    old = TextTokenizer(source)
    pronunciations = Pronunciations.load(dictionary)
    words = (found[0] for text in texts for found in re.finditer(f" ?(?:{WORDS.pattern})", text))
    spelt = (pronunciations.spell(word) for word in words if pronunciations.phones(word.strip()))
    with tempfile.TemporaryDirectory() as folder:
        train_bpe(spelt, 256 + entries, Path(folder))
        learned = _read_merges(Path(folder) / MERGES_FILE)
    for first, second in learned:
        merges.append((first, second))
        vocab[first + second] = len(vocab)
    max_length = None if old.max_length == sys.maxsize else old.max_length
    return _write(models.BPE(vocab, merges), directory, max_length, old.sandhi.spellings, dictionary)


def _byte_alphabet() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _assemble(model: models.BPE) -> tokenizers.Tokenizer:
    """The Qwen2 pipeline around a BPE model, without special tokens."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _load(directory: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The tokenizer, and its configuration."""
    vocab = _read_vocab(directory / VOCAB_FILE)
    merges = _read_merges(directory / MERGES_FILE)
    config = _read_json(directory / CONFIG_FILE)
    try:
        model = models.BPE(vocab, merges)
    except Exception as error:  # the library raises plain Exception
        raise MismatchError(f"{directory / MERGES_FILE} does not fit {VOCAB_FILE} beside it: {error}") from error
    tokenizer = _assemble(model)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    for offset, token in enumerate(SPECIAL_TOKENS):
        if tokenizer.token_to_id(token) != len(vocab) + offset:
            raise MismatchError(f"{directory / VOCAB_FILE} holds the special token {token} among its ordinary entries")
    _check_config(directory / CONFIG_FILE, config, tokenizer)
    return tokenizer, config


def _max_length(path: Path, config: dict[str, Any]) -> int:
    """`model_max_length`, which may be absent, or a very large float for no limit."""
    value = config.get("model_max_length", sys.maxsize)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
        raise MismatchError(f"{path}: model_max_length must be a number from 1, got {value!r}")
    return min(int(value), sys.maxsize)


def _spellings(path: Path, config: dict[str, Any]) -> dict[str, Spelling]:
    """`tone_sandhi`, which the vocabulary may have."""
    try:
        return {character: Spelling(**spelling) for character, spelling in config.get(SANDHI, {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise MismatchError(f"{path}: {SANDHI} must give rising, falling and before for 一 and 不: {error}") from error


def _pronunciations(directory: Path, config: dict[str, Any]) -> Pronunciations:
    """Those of the dictionary that the vocabulary may name."""
    name = config.get(PRONUNCIATIONS)
    if name is None:
        return Pronunciations()
    if name != PRONUNCIATIONS_FILE:
        raise MismatchError(
            f"{directory / CONFIG_FILE}: {PRONUNCIATIONS} must be {PRONUNCIATIONS_FILE!r}, got {name!r}"
        )
    return Pronunciations.load(directory / name)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing: it is part of the text vocabulary") from error
    except UnicodeDecodeError as error:
        raise MismatchError(f"{path} is not UTF-8: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise MismatchError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MismatchError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = _read_json(path)
    if not all(type(index) is int for index in vocab.values()) or set(vocab.values()) != set(range(len(vocab))):
        raise MismatchError(f"{path} must number its {len(vocab)} entries 0 to {len(vocab) - 1}, each once")
    missing = [symbol for symbol in _byte_alphabet() if symbol not in vocab]
    if missing:
        raise MismatchError(f"{path} lacks {len(missing)} of the 256 single-byte entries, the first is {missing[0]!r}")
    return vocab


def _read_merges(path: Path) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2 or not all(parts):
            raise MismatchError(f"{path}, line {number}: expected two entries and one space, found {line!r}")
        merges.append((parts[0], parts[1]))
    return merges


def _check_config(path: Path, config: dict[str, Any], tokenizer: tokenizers.Tokenizer) -> None:
    """The file may place only some of the special tokens; those it places must be where we put them."""
    placed = config.get("added_tokens_decoder", {})
    if not isinstance(placed, dict):
        raise MismatchError(f"{path}: added_tokens_decoder must be an object, found {type(placed).__name__}")
    for index, token in placed.items():
        content = token.get("content") if isinstance(token, dict) else None
        if content in SPECIAL_TOKENS and str(tokenizer.token_to_id(content)) != index:
            raise MismatchError(
                f"{path} places {content} at {index}, but after the entries of {VOCAB_FILE} it is "
                f"{tokenizer.token_to_id(content)}: the files belong to different vocabularies"
            )
