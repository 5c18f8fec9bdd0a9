from __future__ import annotations

import io
import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cosy.audio.io import load_audio
from cosy.cli.say import FinalChunk, ModeName, _arriving
from cosy.cli.tools import Tools
from cosy.errors import AbortedError, CheckpointError, EngineError, MissingDependencyError
from cosy.types import Mode, Sampling
from tests.cli.fakes import CHUNK, RATE_HZ, FakeCosy, run, tone


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_text_becomes_out_wav_with_its_true_length() -> None:
    result = run("say", "Hello there.")
    assert result.exit_code == 0, result.output
    assert result.stdout == "out.wav\n"
    data = Path("out.wav").read_bytes()
    assert int.from_bytes(data[40:44], "little") == len(data) - 44 == 2 * RATE_HZ
    samples, rate_hz = load_audio("out.wav")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(samples, tone(0, RATE_HZ), atol=1e-4)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg", "opus", "aac"])
@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_the_extension_chooses_the_format(extension: str, stream: list[str]) -> None:
    assert run("say", "Hello.", "-o", f"speech.{extension}", *stream).exit_code == 0
    samples, rate_hz = load_audio(f"speech.{extension}")
    assert len(samples) / rate_hz == pytest.approx(1.0, abs=0.15)


def test_a_named_format_overrides_the_extension() -> None:
    assert run("say", "Hello.", "-o", "speech.data", "--format", "flac").exit_code == 0
    assert Path("speech.data").read_bytes()[:4] == b"fLaC"


def test_standard_output_gets_a_whole_wav() -> None:
    result = run("say", "Hello.", "-o", "-")
    assert result.exit_code == 0
    samples, rate_hz = soundfile.read(io.BytesIO(result.stdout_bytes))
    assert (len(samples), rate_hz) == (RATE_HZ, RATE_HZ)
    assert "real-time factor" in result.stderr


def test_streaming_to_standard_output_writes_a_wav_of_open_length() -> None:
    data = run("say", "Hello.", "-o", "-", "--stream").stdout_bytes
    assert data[40:44] == b"\xff\xff\xff\xff"
    assert len(data) == 44 + 2 * RATE_HZ


def test_streaming_writes_each_chunk_before_the_next_is_made() -> None:
    os.mkfifo("pipe.pcm")
    cosy, received = FakeCosy(fails=EngineError("stop")), bytearray()
    reader = threading.Thread(target=lambda: received.extend(Path("pipe.pcm").read_bytes()))
    reader.start()
    assert run("say", "Hello.", "-o", "pipe.pcm", "--stream", cosy=cosy).exit_code == 1
    reader.join()
    assert len(received) == 2 * CHUNK  # what was there before the failure
    assert Path("pipe.pcm").is_fifo()


def test_gain_rate_and_seed_take_effect() -> None:
    cosy = FakeCosy()
    assert run("say", "Hello.", "--gain", "-6.0206", "--sample-rate", "16000", "--seed", "3", cosy=cosy).exit_code == 0
    samples, rate_hz = load_audio("out.wav")
    assert rate_hz == 16_000
    assert len(samples) == 16_000
    assert np.abs(samples[2000:-2000]).max() == pytest.approx(0.125, abs=2e-3)
    assert cosy.asked[0][2]["seed"] == 3


def test_options_reach_the_model() -> None:
    cosy = FakeCosy()
    Path("ref.wav").write_bytes(b"x")
    Path("words").write_text("SQL = sequel")
    Path("adapter").write_bytes(b"x")
    options = "--prompt ref.wav --prompt-text hi --instruct softly --mode instruct --language en --speed 1.5"
    more = "--no-normalise --top-p 0.5 --top-k 9 --lexicon words"
    engine = "--model m --device cuda --dtype float16 --recipe int8 --final-chunk official --lora adapter"
    assert run("say", "Hello.", *options.split(), *more.split(), *engine.split(), cosy=cosy).exit_code == 0
    model, loading = cosy.loaded[0]
    assert model == Path("m")
    assert loading == {
        "device": "cuda",
        "dtype": "float16",
        "recipe": "int8",
        "voices": None,
        "final_chunk": "official",
        "lexicon": Path("words"),
        "lora": Path("adapter"),
    }
    words, voice, asked = cosy.asked[0]
    assert (words, voice) == (["Hello."], None)
    assert asked["prompt"] == Path("ref.wav")
    assert (asked["prompt_text"], asked["instruction"], asked["mode"]) == ("hi", "softly", "instruct")
    assert (asked["language"], asked["speed"], asked["normalise"]) == ("en", 1.5, False)
    assert asked["sampling"] == Sampling(top_p=0.5, top_k=9, window=7)  # the rest is the model's


def test_text_comes_from_a_file_or_standard_input() -> None:
    cosy = FakeCosy()
    Path("text.txt").write_text("\ufeffFrom a file.", encoding="utf-8")
    assert run("say", "--file", "text.txt", cosy=cosy).exit_code == 0
    assert run("say", "-", input="Grüße. Two.\n", cosy=cosy).exit_code == 0
    assert run("say", "-", "--live", input="One.\nTwo.\n", cosy=cosy).exit_code == 0
    assert [pieces for pieces, *_ in cosy.asked] == [["From a file."], ["Grüße. Two.\n"], ["One.\nTwo.\n"]]
    assert [options["whole_segments"] for *_, options in cosy.asked] == [True, True, False]


def test_arriving_text_is_handed_on_at_once_but_never_half_a_character() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as source:
        pieces = _arriving(source)
        ours.sendall("Grü".encode()[:-1])
        assert next(pieces) == "Gr"
        ours.sendall("üße".encode()[1:])
        assert next(pieces) == "üße"
        ours.shutdown(socket.SHUT_WR)
        assert list(pieces) == []


def test_json_tells_all_about_the_speech() -> None:
    result = run("say", "One. Two.", "--json", "--sample-rate", "8000")
    told = json.loads(result.stdout)
    assert (told["file"], told["seconds"], told["rate_hz"], told["seed"]) == ("out.wav", 2.0, 8000, 7)
    assert told["segments"][1] == {
        "text": "Two",
        "start_s": 1.0,
        "end_s": 2.0,
        "finish_reason": "stop",
        "text_tokens": 5,
        "speech_tokens": 25,
        "warnings": [],
    }
    assert told["timings_s"] == {"lm": 4.0}
    assert told["finish_reasons"] == ["stop", "stop"]
    assert told["first_audio_ms"] >= 0
    assert told["real_time_factor"] > 0


def test_quiet_leaves_only_the_result() -> None:
    result = run("say", "Hello.", "--quiet")
    assert (result.stdout, result.stderr) == ("out.wav\n", "")


def test_warnings_of_a_segment_are_told() -> None:
    result = run("say", "Hello.", cosy=FakeCosy(warnings=("cut off at the length limit",)))
    assert "warning: cut off at the length limit: 'Hello'\n" in result.stderr


def test_playing_writes_no_file_unless_asked() -> None:
    cosy = FakeCosy()
    assert run("say", "Hello.", "--play", cosy=cosy).exit_code == 0
    assert sum(map(len, cosy.heard)) == RATE_HZ
    assert list(Path().iterdir()) == []
    assert run("say", "Hello.", "--play", "-o", "a.wav", cosy=cosy).exit_code == 0
    assert Path("a.wav").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Hi.", "--speed", "5"], "speed must be between 0.25 and 4.0, got 5.0"),
        (["Hi.", "--gain", "99"], "gain_db must be between"),
        (["Hi.", "--seed", "-1"], "seed must be between"),
        (["Hi.", "--top-p", "0"], "top_p must be in (0, 1], got 0.0"),
        (["Hi.", "--top-k", "0"], "top_k must be at least 1"),
        (["Hi.", "-o", "a.xyz"], "cannot tell the audio format of a.xyz"),
        (["Hi.", "-o", "a"], "cannot tell the audio format of a "),
        (["Hi.", "--format", "vox"], "unknown audio format 'vox'"),
        (["Hi.", "-o", "a.mp3", "--sample-rate", "12345"], "mp3 cannot carry a sample rate of 12345 Hz"),
        (["Hi.", "--sample-rate", "0"], "cannot carry a sample rate of 0 Hz"),
        (["Hi.", "--bit-rate", "0"], "bit rate must be positive"),
        (["Hi.", "-o", "no/such/a.wav"], "the folder no/such does not exist"),
        (["Hi.", "-o", "."], "it is a folder"),
        (["Hi.", "-o", "-", "--json"], "both want standard output"),
        (["Hi.", "--voice", "nobody"], "there is no voice named 'nobody'"),
        (["Hi.", "--prompt-text", "x"], "name the recording, too"),
        (["Hi.", "--voice", "a", "--prompt", "text"], "--voice and --prompt exclude each other"),
        (["Hi.", "--file", "text"], "give either TEXT, or --file"),
        (["-", "--live", "--lexicon", "text"], "leave out --live or --lexicon"),
        (["Hi.", "--live"], "--live reads standard input"),
        ([], "give either TEXT, or --file"),
        ([""], "the text is empty"),
        ([" \n"], "the text is empty"),
        (["--file", "blank"], "the text is empty"),
        (["--file", "latin"], "latin is not UTF-8 text (byte 1)"),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_no_file(arguments: list[str], message: str) -> None:
    Path("text").write_text("x")
    Path("blank").write_text(" \n")
    Path("latin").write_bytes(b"a\xe4")
    before = sorted(Path().iterdir())
    result = run("say", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("option", ["--file", "--prompt", "--lexicon"])
def test_a_missing_file_is_a_usage_error(option: str) -> None:
    result = run("say", option, "absent.wav", *([] if option == "--file" else ["Hi."]))
    assert result.exit_code == 2
    assert "'absent.wav' does not exist" in result.stderr


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused_before_loading(device: str) -> None:
    result = run("say", "Hi.", "--device", device, "--model", "absent", tools=Tools())
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: the device '{device}' cannot be used")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_before_any_work(tmp_path: Path) -> None:
    folder, cosy = tmp_path / "sealed", FakeCosy()
    folder.mkdir(mode=0o500)
    result = run("say", "Hi.", "-o", folder / "a.wav", cosy=cosy)
    assert result.exit_code == 2
    assert "no permission" in result.stderr
    assert not cosy.loaded


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_one_line() -> None:
    result = run("say", "Hi.", "-o", "/dev/full", "--format", "wav")
    assert result.exit_code == 2
    assert result.stderr == "error: cannot write /dev/full: No space left on device; choose another place\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineError("the flow gave NaN"), 1),
        (AbortedError("cancelled"), 1),
        (CheckpointError("llm.pt is damaged"), 3),
        (MissingDependencyError("pip install 'cosy[play]'"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_failing_midway_leaves_the_old_file_and_nothing_else(
    error: BaseException, status: int, stream: list[str]
) -> None:
    Path("out.wav").write_bytes(b"old")
    result = run("say", "Hello.", *stream, cosy=FakeCosy(fails=error))
    assert result.exit_code == status
    assert result.stderr == (f"error: {error}\n" if status != 130 else "")
    assert [path.name for path in Path().iterdir()] == ["out.wav"]
    assert Path("out.wav").read_bytes() == b"old"


def test_debug_shows_where_an_error_came_from() -> None:
    failing = FakeCosy(fails=EngineError("the flow gave NaN"))
    assert "Traceback" not in run("say", "Hi.", cosy=failing).stderr
    shown = run("--debug", "say", "Hi.", cosy=failing).stderr
    assert "Traceback" in shown
    assert shown.endswith("error: the flow gave NaN\n")


def test_a_message_of_several_lines_is_told_in_one() -> None:
    result = run("say", "Hi.", cosy=FakeCosy(fails=CheckpointError("llm.pt does not fit:\n  2 missing: a, b")))
    assert result.stderr == "error: llm.pt does not fit: 2 missing: a, b\n"


def test_writing_through_a_link_keeps_the_link() -> None:
    Path("real.wav").write_bytes(b"old")
    Path("link.wav").symlink_to("real.wav")
    assert run("say", "Hi.", "-o", "link.wav").exit_code == 0
    assert Path("link.wav").is_symlink()
    assert len(Path("real.wav").read_bytes()) > 1000


def test_the_names_of_modes_are_those_of_the_request() -> None:
    assert [mode.value for mode in ModeName] == [mode.value for mode in Mode]
    assert {choice.value for choice in FinalChunk} == {"streaming", "official"}
