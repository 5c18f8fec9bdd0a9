"""Mandarin text to toned pinyin, as espeak-ng's voice `cmn-latn-pinyin` reads it.

What that voice does (espeak-ng 1.51 and 1.52, read from its phonemes): the tone digit is spoken as
written, `5` is neutral and takes its pitch from the syllable before, a run of third tones rises up
to its last syllable (`wo3 hen3 hao3` as 2-2-3, also over a full stop that a small letter follows,
but not over a comma), and half-third tones are made.  It knows nothing of 一 and 不 and speaks a
merged erhua syllable (`nar3`) as two toned ones.  So third tones stay as they are here, 一 and 不
get the tone they are spoken with, and a suffixed 儿 is a neutral syllable of its own, `r5`.

Readings are pypinyin's, which knows phrases, corrected by our own tables of neutral tones and of
characters that depend on their neighbours.
"""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple

from cosy.dependencies import optional
from cosy.train.data.lexicon import segment

Language = Literal["zh", "en", ""]


class Piece(NamedTuple):
    """A spoken unit of a text: a hanzi with its pinyin, an English word, or (language "") a mark."""

    text: str
    pinyin: str
    language: Language


# The last syllable is neutral.
NEUTRAL = frozenset(
    """朋友 东西 先生 学生 谢谢 妈妈 爸爸 爷爷 奶奶 哥哥 姐姐 弟弟 妹妹 太太 叔叔 姑姑 舅舅 宝宝 星星 喜欢 知道 明白
    意思 名字 时候 关系 地方 打算 事情 豆腐 葡萄 萝卜 故事 生意 热闹 干净 麻烦 力气 月亮 窗户 眼睛 耳朵 嘴巴 脑袋
    钥匙 护士 师傅 商量 收拾 暖和 凉快 聪明 老实 清楚 糊涂 马虎 告诉 休息 头发 漂亮 衣服 舒服 认识 客气 早上 晚上
    便宜 消息 大夫 味道 丈夫 客人 工人 亲戚 亲家 媳妇 姑娘 小姐 伙计 福气 脾气 运气 天气 态度 困难 粮食 玻璃 棉花
    蘑菇 黄瓜 烧饼 点心 核桃 石榴 西边 东边 南边 北边 上边 下边 左边 右边 里边 外边 前边 后边 里面 外面 上面 下面
    前面 后面 里头 外头 上头 木头 石头 骨头 舌头 馒头 枕头 拳头 罐头 回来 回去 过来 过去 出来 出去 进来 进去 起来
    上来 上去 下来 下去 拿来 带来 送来 看见 听见 家里 屋里 心里 手里 城里 路上 桌上 身上 街上 手上 地上 楼上 多么
    那么 怎么 这么 什么 咱们 人们 他们 她们 它们 我们 你们 差事 本事 招呼 打听 打扮 打量 琢磨 吩咐 耽误 耽搁 答应
    折腾 张罗 应付 照顾 佩服 称呼 觉得 懂得 记得 晓得 值得 舍得 骆驼 狐狸 蚂蚱 蛤蟆 苍蝇 刺猬 牲口 庄稼 高粱
    扫帚 笤帚 簸箕 抽屉 被子 胳膊 膝盖 指甲 屁股 疙瘩 巴掌 笑话 新鲜 结实 厉害 利落 痛快 勤快 利索 规矩 委屈
    别扭 迷糊 秀气 阔气 和气 小气 大方 随和 自在 实在 合同 月饼 包袱 裁缝 木匠 石匠 和尚 道士 秀才 状元 将就 讲究
    咳嗽 哆嗦 啰嗦 唠叨 念叨 嘀咕 叫唤 使唤 忘了 行李 比方 闺女 女婿 妯娌 街坊 邻居 戒指 首饰 胭脂 兄弟 伺候 灯笼
    风筝 算盘 黄历 算了 罢了 为了 除了 得了 好了 对了""".split()
) - {"工人", "过去", "实在", "大方", "照顾", "膝盖", "邻居", "客人", "亲家", "新鲜", "合同", "黄瓜", "态度", "味道"}

_OWN = {"一": "yi1", "不": "bu4", "谁": "shei2", "嗯": "en4", "欸": "ei4", "〇": "ling2"}
_READINGS = {  # words pypinyin reads otherwise, and single characters between words
    word: tuple(reading.split())
    for word, _, reading in (
        line.strip().partition(" ")
        for line in """\
长 chang2
得 de5
长得 zhang3 de5
对不起 dui4 bu5 qi3
看不懂 kan4 bu5 dong3
听不懂 ting1 bu5 dong3
来不及 lai2 bu5 ji2
了不起 liao3 bu5 qi3
受不了 shou4 bu5 liao3
忘不了 wang4 bu5 liao3
睡不着 shui4 bu5 zhao2
找不到 zhao3 bu5 dao4
看不见 kan4 bu5 jian4
听不见 ting1 bu5 jian4
差不多 cha4 bu5 duo1
用不着 yong4 bu5 zhao2
大夫 dai4 fu5
照片 zhao4 pian4
肚子 du4 zi5""".splitlines()
    )
}
_FULL_ER = frozenset("儿子 女儿 儿童 儿女 婴儿 幼儿 孤儿 胎儿 儿媳 儿孙 少儿 健儿 儿科 育儿 儿歌 男儿 儿时".split())
_NUMERALS = "零一二三四五六七八九十百千万亿"
_UNIT = re.compile(r"[㐀-鿿〇]+|[A-Za-z]+(?:['’-][A-Za-z]+)*|\S")
_HAN = re.compile(r"[㐀-鿿〇]+")


def pinyin(text: str) -> list[Piece]:
    """Every spoken unit of `text` and every mark; blanks are dropped.

    A hanzi comes with its pinyin ("ni3", "lü4"; 5 is the neutral tone), an English word with
    pinyin "" and language "en", a mark with both empty.  Digits are marks: write them out first.

    Raises MissingDependencyError without the `train` extra.
    """
    pieces: list[Piece] = []
    for unit in _UNIT.findall(text):
        if _HAN.fullmatch(unit):
            pieces += (Piece(char, sound, "zh") for char, sound in zip(unit, _readings(unit), strict=True))
        else:
            pieces.append(Piece(unit, "", "en" if unit[0].isalpha() else ""))
    return pieces


def _readings(han: str) -> list[str]:
    sounds = [sound for word in segment(han) for sound in _word_reading(word)]
    for i, char in enumerate(han):
        if char == "地" and i >= 2 and han[i - 1] == han[i - 2]:
            sounds[i] = "de5"
        elif char == "儿" and not _is_full_er(han, i):
            sounds[i] = "r5"
    return [_sandhi(han, sounds, i) for i in range(len(han))]


@functools.lru_cache(maxsize=100_000)
def _word_reading(word: str) -> tuple[str, ...]:
    """The toned syllables of a word, 一 and 不 in their own tones."""
    if word in _READINGS:
        return _READINGS[word]
    library = optional("pypinyin", "train")
    sounds = library.lazy_pinyin(word, style=library.Style.TONE3, neutral_tone_with_five=True, v_to_u=True)
    sounds = [_OWN.get(char, sound) for char, sound in zip(word, sounds, strict=True)]
    if word[-2:] in NEUTRAL:
        sounds[-1] = sounds[-1][:-1] + "5"
    return tuple(sounds)


def _is_full_er(han: str, i: int) -> bool:
    return i == 0 or han[i - 1 : i + 1] in _FULL_ER or han[i : i + 2] in _FULL_ER


def _sandhi(han: str, sounds: list[str], i: int) -> str:
    """The spoken tone of 一 and 不 (GB/T 16159: before a fourth tone rising; 一 before others falling)."""
    sound = sounds[i]
    if han[i] not in "一不" or sound[-1] == "5" or i + 1 == len(han):
        return sound
    before, after = han[i - 1 : i], han[i + 1]
    if i and before == after:
        return sound[:-1] + "5"  # 看一看, 好不好
    following = sounds[i + 1][-1]
    if sounds[i + 1] == "ge5":
        following = "4"
    if han[i] == "不":
        return "bu2" if following == "4" else "bu4"
    if _is_count(han, i):
        return "yi2" if following == "4" else "yi4" if following in "123" else "yi1"
    return "yi1"


def _is_count(han: str, i: int) -> bool:
    """Whether 一 changes its tone: not as an ordinal, a digit among digits, a date or the end of a number."""
    before, after = han[i - 1 : i], han[i + 1]
    if before == "点" and after == "刻":
        return True
    if before and before in _NUMERALS + "第点幺初周期":
        return False
    if after in "零一二三四五六七八九幺月号楼班":
        return False
    return not (after == "点" and han[i + 2 : i + 3] in tuple("半整钟" + _NUMERALS))
