"""Golden cases of the text front end: its functions, the special tokens, the inputs of every mode."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

from cosy.text import official, split, unicode
from cosy.text.special_tokens import SPECIAL_TOKENS
from cosy.text.tokenizer import TextTokenizer
from cosy.voices.assembly import Prompt, align_prompt, model_inputs
from tests.golden import Case

VOICE_DIM, MELS = 192, 80


def stub_ids(text: str) -> list[int]:
    return list(range(len(re.findall(r"\w+|[^\w\s]", text))))


def stub_length(text: str) -> int:
    return len(stub_ids(text))


def is_text(case: Case) -> bool:
    return case.spec.get("module") == "frontend" and "functions" in case.spec


def run_text(case: Case) -> None:
    functions = {
        "contains_chinese": unicode.contains_chinese,
        "replace_corner_mark": official.replace_corner_mark,
        "remove_bracket": official.remove_bracket,
        "replace_blank": official.replace_blank,
        "spell_out_number": official.spell_out_number,
        "is_only_punctuation": split.is_only_punctuation,
        "split_paragraph": lambda text, **args: split.split_paragraph(text, stub_length, **args),
        "text_normalize_without_tn": lambda text, **args: official.text_normalize(text, stub_length, **args),
    }
    for name, entries in case.spec["functions"].items():
        if name.startswith("text_normalize_with_"):  # informative: depends on a package's version
            continue
        for entry in entries:
            if "out" in entry:  # the others tell where upstream fails
                arguments = {key: entry[key] for key in ("split", "text_frontend") if key in entry}
                got = functions[name](entry["text"], **entry.get("args", {}), **arguments)
                assert got == entry["out"], f"{name}({entry['text']!r})"


def is_special_tokens(case: Case) -> bool:
    return case.spec.get("module") == "frontend" and "CosyVoice2" in case.spec


def run_special_tokens(case: Case) -> None:
    expected = case.spec["CosyVoice2"]
    base = min(expected["ids"].values())
    with TemporaryDirectory() as folder:
        tokenizer = TextTokenizer(padded_vocabulary(Path(folder), base))
    assert tokenizer.vocab_size == expected["vocabulary_size"]
    assert len(expected["ids"]) == len(SPECIAL_TOKENS)
    for token, number in expected["ids"].items():
        assert tokenizer.encode(token) == [number]
        assert tokenizer.decode([number]) == token


def padded_vocabulary(directory: Path, size: int) -> Path:
    """A vocabulary of the 256 bytes and as many unused entries as make `size`."""
    entries = [*sorted(ByteLevel.alphabet()), *(f"unused {index}" for index in range(size - 256))]
    (directory / "vocab.json").write_text(json.dumps({entry: index for index, entry in enumerate(entries)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    (directory / "tokenizer_config.json").write_text("{}")
    return directory


def is_assembly(case: Case) -> bool:
    return case.spec.get("module") == "frontend" and "model_inputs" in case.spec


def run_assembly(case: Case) -> None:
    for row in case.spec["trimming"]:
        kept = align_prompt(row["mel_frames_24k"], row["speech_tokens"])
        assert (kept, 2 * kept) == (row["kept_tokens"], row["kept_mel_frames"]), row
    voice = prompt_of(case.spec["modes_text"])
    texts = dict(re.findall(r'(text|prompt|cached speaker prompt|instruct) "([^"]*)"', case.spec["modes_text"]))
    said = {"zero_shot_cached": texts["cached speaker prompt"], "instruct2": texts["instruct"]}
    for mode, expected in case.spec["model_inputs"].items():
        prompt_text = said.get(mode, texts["prompt"])
        got = model_inputs(
            mode.removesuffix("_cached"),
            voice,
            text=stub_ids(texts["text"]),
            prompt_text=stub_ids(prompt_text),
            source_tokens=voice.tokens,
        )
        assert {name: described(value) for name, value in got.items()} == expected, mode


def prompt_of(description: str) -> Prompt:
    """The stubs of the case: a token per four frames of 10 ms, two mel frames per 40 ms."""
    samples = int(re.search(r"(\d+) samples at 16 kHz", description)[1])  # type: ignore[index]
    tokens = -(-(samples // 160) // 4)
    frames = -(-samples * 3 // 2) // 480
    return Prompt(torch.zeros(tokens), torch.zeros(frames, MELS), torch.zeros(VOICE_DIM))


def described(value: Any) -> dict[str, Any]:
    return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}


RUNNERS = [(is_text, run_text), (is_special_tokens, run_special_tokens), (is_assembly, run_assembly)]
