"""Settings: where they come from, what goes first, and that every one is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosy.errors import ParameterError
from cosy.server.settings import Settings, from_text, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("COSY_")]:
        monkeypatch.delenv(name)


def test_the_document_is_what_the_class_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "run: python -m cosy.server.settings > docs/settings.md"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_flags_go_before_environment_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cosy.toml"
    file.write_text('port = 1\nhost = "::1"\ndevice = "cuda"\n')
    monkeypatch.setenv("COSY_PORT", "2")
    monkeypatch.setenv("COSY_DEVICE", "cuda:1")
    settings = Settings.load({"port": 3, "model": None}, file)
    assert (settings.port, settings.device, settings.host, settings.model) == (3, "cuda:1", "::1", "")


def test_the_environment_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.toml").write_text("port = 7")
    monkeypatch.setenv("COSY_CONFIG", str(tmp_path / "x.toml"))
    assert Settings.load().port == 7


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSY_API_KEYS", '["one", "two"]')
    assert Settings.load().api_keys == ("one", "two")


def test_settings_made_in_code_do_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSY_PORT", "2")
    assert Settings().port == 8000


@pytest.mark.parametrize(
    "variable", ["COSY_CONFIG", "COSY_GOLDEN", "COSY_VOICES", "COSY_SERVICE_HOST", "COSY_PORT_80_TCP"]
)
def test_variables_of_others_are_left_alone(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.toml").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "x.toml"))
    assert Settings.load() == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("COSY_PROT", "1", "unknown setting 'prot' in the environment; did you mean 'port'? There are: host, port"),
        ("COSY_PORT", "x", "setting 'port' of the environment: Input should be a valid integer"),
        ("COSY_PORT", "70000", "less than or equal to 65535"),
        ("COSY_API_KEYS", "plain", "a list is written as JSON"),
        ("COSY_FETCH", "all", "'off', 'public' or 'any', got 'all'"),
        ("COSY_MAX_UPLOAD_BYTES", "99999999", "must not exceed max_body_bytes"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParameterError) as caught:
        Settings.load()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [("prot = 1", "unknown setting 'prot' in the settings file"), ("port =", "is not TOML")]
)
def test_a_wrong_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(content)
    with pytest.raises(ParameterError, match=message):
        Settings.load({}, tmp_path / "x.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot read the settings file"):
        Settings.load({}, tmp_path / "none.toml")


def test_a_wrong_key_is_not_shown() -> None:
    with pytest.raises(ParameterError) as caught:
        Settings.load({"api_keys": 5_550_123})
    assert "5550123" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)),
    ],
)
def test_loopback_is_known_by_its_address(host: str, alone: bool) -> None:
    assert Settings(host=host).on_loopback is alone


def test_an_assignment_of_a_list_is_json() -> None:
    assert from_text("cors_origins", '["http://a"]') == ["http://a"]
    assert from_text("host", "[::1]") == "[::1]"
    with pytest.raises(ParameterError, match="written as JSON"):
        from_text("cors_origins", "http://a")
