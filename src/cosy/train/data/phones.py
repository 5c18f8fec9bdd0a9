"""One phone set for every language and engine: what the speech tokenizer learns to tell apart.

English phones have their ARPAbet names; Mandarin shares what sounds alike (unaspirated stops are the English voiced
ones) and adds its retroflex and palatal consonants and its own vowels.  Diphthongs count as one phone.
"""

from __future__ import annotations

from cosy.errors import ParameterError

PAUSE = "pau"
ENGLISH = """aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z
    zh""".split()
MANDARIN = "tj tch sj tr trh sr rr tz tsz yu ir iz eo ie ye ya wa wai wei wo yow ong".split()
PHONES = (PAUSE, *ENGLISH, *MANDARIN)

# festival and flite, where their name differs
_RADIO = {
    "ssil": PAUSE,
    "brth": PAUSE,
    "h#": PAUSE,
    "axr": "er",
    "el": "l",
    "em": "m",
    "en": "n",
    "dx": "t",
    "hv": "hh",
}

_ESPEAK_ENGLISH = """I:ih I2:ih I#:ih IR:er i:iy i::iy i@:iy i@3:iy E:eh e@:eh eI:ey V:ah VR:er a:ae aa:ae a#:ax
    @:ax @2:ax @-:ax @L:l 3:er 3::er 0:aa A::aa A@:aa O:ao O::ao O2:ao O@:ao o@:ao oU:ow U:uh U@:uh u::uw aI:ay aI2:ay
    aI@:ay aI3:ay aU:aw aU@:aw OI:oy tS:ch dZ:jh D:dh T:th S:sh Z:zh N:ng j:y ;:y h:hh x:hh t#:t t2:t n-:n r-:r w#:w
    l-:l""".split()
_ESPEAK_MANDARIN = """p:b ph:p t:d th:t k:g kh:k X:hh tS;:tj tS;h:tch S;:sj ts.:tr ts.h:trh s.:sr z.:rr ts:tz tsh:tsz
    j:y N:ng i:iy yi:yu i.:ir i[:iz u:uw y:yu y&:yu y@:yu A:aa a:aa o:ao o-:eo @:ax E:eh iE:ie yE:ye iA:ya ua:wa uA:wa
    u@:wei uo:wo uai:wai uei:wei iou:yow ai:ay ei:ey Au:aw ou:ow ong:ong io:ong @r:er""".split()


def _table(pairs: list[str]) -> dict[str, str]:
    """`espeak:phone` pairs; the last colon separates, since espeak-ng writes length with one."""
    return {name: phone for name, _, phone in (pair.rpartition(":") for pair in pairs)}


_TABLES = {"radio": _RADIO, "en": _table(_ESPEAK_ENGLISH), "zh": _table(_ESPEAK_MANDARIN)}


def is_pause(label: str) -> bool:
    """Whether an engine's label means silence."""
    return _RADIO.get(label, label) == PAUSE


def phone_index(label: str, names: str = "radio") -> int:
    """The index in `PHONES` of a label in the spelling `names`: "radio" (festival, flite), espeak-ng's "en" or "zh".

    Raises ParameterError for one that is not there.
    """
    phone = _TABLES[names].get(label, label)
    if phone not in PHONES:
        raise ParameterError(f"unknown phone {label!r}; known: {', '.join(PHONES)}")
    return PHONES.index(phone)
