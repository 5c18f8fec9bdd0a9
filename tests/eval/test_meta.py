from __future__ import annotations

from pathlib import Path

import pytest

from cosy.errors import InputError
from cosy.eval.meta import Item, Prompt, read_items, read_prompts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wavs").mkdir()
    for name in ("a.wav", "b.wav", "said.wav"):
        (tmp_path / "wavs" / name).write_bytes(b"RIFF")
    return tmp_path


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_seed_tts_list_is_read_with_and_without_a_target(folder: Path) -> None:
    path = written(
        folder, "meta.lst", "u1.wav|你好。|wavs/a.wav|今天很好。", "", "u2|Hi.|wavs/b.wav|Good day.|wavs/said.wav"
    )
    first, second = read_items(path)
    assert first == Item("u1", "今天很好。", Prompt("a", folder / "wavs/a.wav", "你好。"))
    assert second.target_wav == second.prompt.other == folder / "wavs/said.wav"


def test_a_byte_order_mark_and_carriage_returns_are_no_text(folder: Path) -> None:
    path = folder / "meta.lst"
    path.write_bytes("\ufeffu1|Hi.|wavs/a.wav|Good day.\r\n".encode())
    (item,) = read_items(path)
    assert (item.utt, item.text) == ("u1", "Good day.")


def test_a_cv3_folder_is_read_and_its_paths_may_start_above_it(folder: Path) -> None:
    inner = folder / "zero_shot" / "en"
    inner.mkdir(parents=True)
    written(inner, "text", "u2 Good day.", "u1 Good night.")
    written(inner, "prompt_text", "u1 Hi there.", "u2 Hello.")
    written(inner, "prompt_wav.scp", "u1 wavs/a.wav", "u2 wavs/b.wav")
    second, first = read_items(inner)
    assert (first.utt, first.text, first.prompt.text) == ("u1", "Good night.", "Hi there.")
    assert second.prompt.wav.samefile(folder / "wavs/b.wav")


def test_jsonl_is_read_and_further_keys_are_left_alone(folder: Path) -> None:
    row = '{"id": "u1", "text": "Hi.", "prompt_text": "Ho.", "prompt_wav": "wavs/a.wav", "emotion": "sad"}'
    (item,) = read_items(written(folder, "set.jsonl", row))
    assert item == Item("u1", "Hi.", Prompt("a", folder / "wavs/a.wav", "Ho."))


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("meta.lst", ["u1|Hi.|wavs/a.wav|Good day.", "u2|Hi.|wavs/a.wav"], "line 2: expected utt|prompt_text"),
        ("meta.lst", ["u1||wavs/a.wav|Good day."], "line 1: expected"),
        ("meta.lst", ["u1|Hi.|wavs/c.wav|Good day."], "line 1: the recording 'wavs/c.wav' does not exist"),
        ("meta.lst", ["u1|Hi.|wavs/a.wav|Good day.|no.wav"], "'no.wav' does not exist"),
        ("meta.lst", ["u|A.|wavs/a.wav|B.", "u|A.|wavs/a.wav|C."], "'u' is there twice"),
        ("meta.lst", [""], "holds no utterance"),
        ("set.jsonl", ["{"], "line 1: not JSON"),
        ("set.jsonl", ["[]"], "line 1: expected an object"),
        ("set.jsonl", ['{"utt": "u", "text": 3}'], "line 1: 'text' must be a text"),
        ("set.jsonl", ['{"text": "Hi."}'], "line 1: 'utt' must be a text"),
    ],
)
def test_a_bad_line_is_named(folder: Path, name: str, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        read_items(written(folder, name, *lines))


@pytest.mark.parametrize(
    ("text", "prompt_text", "message"),
    [
        ("u1 Hi.", "u2 Ho.", "'u1' is not both in text and in prompt_text"),
        ("u1", "u1 Ho.", "line 1: expected a name and a value"),
        ("u1 Hi.\nu1 Ha.", "u1 Ho.", "line 2: the name 'u1' is there twice"),
    ],
)
def test_tables_that_do_not_fit_are_refused(folder: Path, text: str, prompt_text: str, message: str) -> None:
    written(folder, "text", text)
    written(folder, "prompt_text", prompt_text)
    written(folder, "prompt_wav.scp", "u1 wavs/a.wav")
    with pytest.raises(InputError, match=message):
        read_items(folder)


def test_what_is_not_there_or_not_text_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_items(folder / "absent.lst")
    with pytest.raises(InputError, match="a CV3-Eval folder holds"):
        read_items(folder)
    (folder / "meta.lst").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_items(folder / "meta.lst")


def test_a_list_has_every_prompt_once(folder: Path) -> None:
    lines = ["u1|A.|wavs/a.wav|B.", "u2|A.|wavs/a.wav|C.", "u3|D.|wavs/b.wav|E."]
    assert [prompt.name for prompt in read_prompts(written(folder, "meta.lst", *lines))] == ["a", "b"]


def test_a_folder_of_prompts_has_transcripts_and_maybe_other_recordings(folder: Path) -> None:
    wavs = folder / "wavs"
    (wavs / "said.wav").rename(wavs / "a.other.wav")
    written(wavs, "a.txt", "Hi there.")
    with pytest.raises(InputError, match=r"b\.txt is absent"):
        read_prompts(wavs)
    written(wavs, "b.txt", "Hello.")
    assert read_prompts(wavs) == [
        Prompt("a", wavs / "a.wav", "Hi there.", wavs / "a.other.wav"),
        Prompt("b", wavs / "b.wav", "Hello."),
    ]


def test_an_empty_folder_has_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no prompt"):
        read_prompts(tmp_path)
