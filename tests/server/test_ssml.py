"""The supported SSML, and that what is not supported is named."""

from __future__ import annotations

import time

import pytest

from cosy.errors import TextError
from cosy.server.joined import Part
from cosy.server.ssml import MAX_BREAK_S, MAX_DEPTH, is_markup, parse


def parts(inside: str) -> tuple[Part, ...]:
    return parse(f"<speak>{inside}</speak>").parts


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("Hello.", [Part("Hello.")]),
        ("  Hello\n   there. ", [Part("Hello there.")]),
        ("a &lt; b &amp; c", [Part("a < b & c")]),
        ("", []),
        (" 。 ", []),
        ('one<break time="500ms"/>two', [Part("one"), Part("two", 0.5)]),
        ('one <break time="2s"/> <break time="1.5s"/> two', [Part("one"), Part("two", 3.5)]),
        ('<break time="1s"/>one<break strength="none"/><break/>', [Part("one", 1.0), Part("", 0.5)]),
        ("<p>One.</p><p><s>Two.</s><s>Three</s></p>", [Part("One."), Part("Two."), Part("Three")]),
        ("I read <sub alias='World Wide Web'>WWW</sub>.", [Part("I read World Wide Web.")]),
        ("Call <say-as interpret-as='digits'>110</say-as>!", [Part("Call one one zero!")]),
        ("请拨<say-as interpret-as='telephone'>(1) 10-2</say-as>。", [Part("请拨一一零二。")]),
        ("<say-as interpret-as='cardinal'>110</say-as> 个", [Part("110 个")]),
        ("a <prosody rate='1.5'>b</prosody> c", [Part("a"), Part("b", speed=1.5), Part("c")]),
        ("<prosody rate='+20%' volume='100'>b</prosody>! <s>c</s>", [Part("b!", speed=1.2, gain=2.0), Part("c")]),
        ("<prosody rate='2'><prosody rate='50%'>b</prosody></prosody>", [Part("b")]),
        ("<prosody volume='silent'>b</prosody>", [Part("b", gain=0.0)]),
        ("<prosody rate='slow' volume='+20dB'>b</prosody>", [Part("b", speed=0.75, gain=10.0)]),
        ("a<!-- comment --> b <![CDATA[<c>]]>", [Part("a b <c>")]),
    ],
)
def test_elements_become_parts(inside: str, expected: list[Part]) -> None:
    assert list(parts(inside)) == expected


def test_the_root_may_have_a_namespace_and_prosody() -> None:
    text = '<?xml version="1.0"?><speak xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en" rate="0.5">Hi</speak>'
    assert parse(text).parts == (Part("Hi", speed=0.5),)


def test_what_is_written_is_the_text_between_the_tags() -> None:
    document = parse("<speak>你好 <sub alias='世界'>地球</sub><break/>a</speak>")
    assert (document.written, document.spoken) == ("你好 地球a", "你好 世界 a")


@pytest.mark.parametrize(("text", "marked"), [(" \n<speak>", True), ("<b", True), ("a <speak>", False), ("", False)])
def test_only_what_begins_with_a_tag_is_markup(text: str, marked: bool) -> None:
    assert is_markup(text) is marked


@pytest.mark.parametrize(
    ("inside", "named"),
    [
        ("<audio src='x'/>", "<audio>"),
        ("<voice name='x'>a</voice>", "<voice>"),
        ("<phoneme ph='x'>a</phoneme>", "<phoneme>"),
        ("<speak>a</speak>", "<speak>"),
        ("<prosody pitch='high'>a</prosody>", "'pitch'"),
        ("<break time='11s'/>", "'11s'"),
        ("<break time='-1s'/>", "'-1s'"),
        ("<break time='1'/>", "'1'"),
        ("<break time='٣s'/>", "at most 10s"),
        ("<break strength='huge'/>", "'huge'"),
        ("<break><s>a</s></break>", "<break>"),
        ("<sub>WWW</sub>", "'alias'"),
        ("<say-as>1</say-as>", "'interpret-as'"),
        ("<say-as interpret-as='date'>1</say-as>", "'date'"),
        ("<prosody rate='3'>a</prosody>", "'3'"),
        ("<prosody rate='nan'>a</prosody>", "'nan'"),
        ("<prosody rate=' '>a</prosody>", "rate"),
        ("<prosody volume='101'>a</prosody>", "'101'"),
        ("<prosody volume='+21dB'>a</prosody>", "'+21dB'"),
        ("<prosody volume='loudest'>a</prosody>", "'loudest'"),
        ("a & b", "&amp;"),
        ("<p>a", "not well-formed"),
        ("<p>" * MAX_DEPTH + "a" + "</p>" * MAX_DEPTH, str(MAX_DEPTH)),
        ("a<break/>" * 1001, "1000"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(inside: str, named: str) -> None:
    with pytest.raises(TextError) as caught:
        parts(inside)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "text", ["<p>a</p>", "<", "<speak", "<speak>\ud800</speak>", "<speak>a</speak> b", "<speak/>\0"]
)
def test_a_document_has_one_root(text: str) -> None:
    with pytest.raises(TextError):
        parse(text)


def test_entities_cannot_grow() -> None:
    laughs = '<!DOCTYPE s [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
    )
    with pytest.raises(TextError, match="document type"):
        parse(laughs + "]><speak>&j;</speak>")


def test_hostile_documents_are_refused_quickly() -> None:
    start = time.perf_counter()
    for text in ("<speak>" + "<!--" * 50_000, "<speak>" + "<p>" * 60_000 + "</p>" * 60_000 + "</speak>", "<" * 200_000):
        with pytest.raises(TextError):
            parse(text)
    assert time.perf_counter() - start < 2


def test_a_break_is_as_long_as_is_allowed() -> None:
    assert parts(f"a<break time='{MAX_BREAK_S:g}s'/>")[-1] == Part("", MAX_BREAK_S)
