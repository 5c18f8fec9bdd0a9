"""Mandarin text to toned pinyin, as espeak-ng's voice `cmn-latn-pinyin` reads it.

What that voice does, read from its phonemes (espeak-ng 1.51 and 1.52):
    third tones   a run of them rises up to its last, `wo3 hen3 hao3` is 2-2-3, and before other tones they are
                  halved; this stops at a comma, "?" and "!", but not at a "." before a small letter
    neutral tone  `5` takes its pitch from the syllable before
    一, 不        nothing: the digit is spoken as written
    erhua         a merged syllable, `nar3`, is two with a tone each; `er5` is a light syllable of its own
    ü             `lv4`, `nv3`; 1.52 spells `lü4`, `r5` and the syllables in -iong out in English
So third tones stay here as the dictionary has them, 一 and 不 get the tone they are spoken with, a
suffixed 儿 is `er5`, and ü is written v.

Readings are those of pypinyin for the words of `lexicon.segment`, corrected by our own tables of
neutral tones and of what it reads otherwise than everyday speech.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from cosy.dependencies import optional
from cosy.text.sandhi import Spelling, is_between_twins, is_count
from cosy.train.data.lexicon import segment

Language = Literal["zh", "en", ""]


class Piece(NamedTuple):
    """A spoken unit of a text: a hanzi with its pinyin, an English word, or (language "") a mark."""

    text: str
    pinyin: str
    language: Language


# Words, also as the end of longer ones, whose last syllable is neutral.
NEUTRAL = frozenset(
    """朋友 东西 先生 学生 谢谢 妈妈 爸爸 爷爷 奶奶 哥哥 姐姐 弟弟 妹妹 太太 叔叔 姑姑 舅舅 宝宝 星星 娃娃 嫂嫂
    公公 婆婆 爹爹 娘娘 喜欢 知道 明白 意思 名字 时候 关系 打算 事情 豆腐 葡萄 萝卜 故事 生意 热闹 干净 麻烦
    力气 月亮 太阳 窗户 眼睛 耳朵 嘴巴 下巴 眉毛 脑袋 钥匙 护士 师傅 师父 商量 收拾 暖和 凉快 聪明 老实 清楚
    糊涂 马虎 告诉 休息 头发 漂亮 衣服 舒服 认识 知识 客气 脾气 福气 运气 秀气 阔气 小气 早上 晚上 皇上
    便宜 消息 丈夫 媳妇 姑娘 伙计 困难 粮食 玻璃 棉花 蘑菇 烧饼 点心 核桃 石榴 东边 西边 南边 北边 上边 下边
    左边 右边 里边 外边 前边 后边 里头 外头 上头 木头 石头 骨头 舌头 馒头 枕头 拳头 罐头 砖头 苦头 家里 屋里
    心里 手里 城里 夜里 那里 差事 本事 招呼 打听 打扮 打量 打发 琢磨 吩咐 耽误 耽搁 答应 折腾 张罗 应付 对付
    应酬 佩服 称呼 骆驼 狐狸 蚂蚱 蛤蟆 苍蝇 刺猬 牲口 庄稼 高粱 芝麻 甘蔗 葫芦 扫帚 笤帚 簸箕 抽屉 帐篷 胳膊
    指甲 屁股 疙瘩 窟窿 巴掌 笑话 新鲜 结实 扎实 踏实 厉害 利落 痛快 勤快 爽快 快活 活泼 利索 规矩 委屈 冤枉
    欺负 别扭 迷糊 模糊 含糊 大方 随和 宽敞 妥当 稀罕 在乎 疏忽 合同 月饼 包袱 裁缝 木匠 石匠 铁匠 和尚
    道士 秀才 状元 讲究 主意 部分 力量 势力 位置 书记 夫人 别人 道理 衙门 情形 老爷 少爷 教训 逻辑 奴才
    心思 棺材 时辰 年份 见识 尺寸 报酬 妖精 乡下 底下 咳嗽 哆嗦 啰嗦 唠叨 念叨 嘀咕 叫唤 使唤 比方 比划 闺女
    女婿 妯娌 街坊 戒指 首饰 胭脂 伺候 灯笼 风筝 算盘 喇叭 琵琶 牡丹 招牌 篇幅 罪过 唾沫 交情 记号 价钱 娘家
    官司 亲戚 味道 态度 寡妇 吓唬 动静 动弹 提防 养活 丫鬟 摸索 特务 行李 看看 想想 听听 试试 走走 问问
    谈谈""".split()
)

# Where pypinyin has another reading than everyday speech, or none for the word.  Longer words before shorter ones.
_WORDS = {
    word: tuple(sounds)
    for word, *sounds in map(
        str.split,
        """看不懂 kan4 bu5 dong3/听不懂 ting1 bu5 dong3/听不见 ting1 bu5 jian4/看不见 kan4 bu5 jian4/
        来不及 lai2 bu5 ji2/对不起 dui4 bu5 qi3/了不起 liao3 bu5 qi3/受不了 shou4 bu5 liao3/忘不了 wang4 bu5 liao3/
        少不了 shao3 bu5 liao3/睡不着 shui4 bu5 zhao2/用不着 yong4 bu5 zhao2/找不到 zhao3 bu5 dao4/
        差不多 cha4 bu5 duo1/舍不得 she3 bu5 de5/怪不得 guai4 bu5 de5/恨不得 hen4 bu5 de5/巴不得 ba1 bu5 de5/
        由不得 you2 bu5 de5/了不得 liao3 bu5 de5/士大夫 shi4 da4 fu1/几内亚 ji1 nei4 ya4/进行曲 jin4 xing2 qu3/
        耶路撒冷 ye1 lu4 sa1 leng3/高句丽 gao1 gou1 li2/塞内加尔 sai4 nei4 jia1 er3/塞浦路斯 sai4 pu3 lu4 si1/
        塞舌尔 sai4 she2 er3/埃塞 ai1 sai4/巴塞 ba1 sai4/阿塞 a1 sai4/萨诸塞 sa4 zhu1 sai4/西塞山 xi1 sai4 shan1/
        洪都拉斯 hong2 du1 la1 si1/堪的纳 kan1 di4 na4/不怀好意 bu4 huai2 hao3 yi4/装模作样 zhuang1 mu2 zuo4 yang4/
        悄无声息 qiao3 wu2 sheng1 xi1/大汗 da4 han4/长三角 chang2 san1 jiao3/大夫 dai4 fu5/照片 zhao4 pian4/
        相片 xiang4 pian4/肚子 du4 zi5/蒙古 meng3 gu3/内蒙 nei4 meng3/朝鲜 chao2 xian3/乡长 xiang1 zhang3/
        全长 quan2 chang2/体长 ti3 chang2/加长 jia1 chang2/边长 bian1 chang2/悠长 you1 chang2/见长 jian4 chang2/
        片长 pian4 chang2/落下 luo4 xia4/着实 zhuo2 shi2/身着 shen1 zhuo2/供养 gong1 yang3/缅甸 mian3 dian4/
        草甸 cao3 dian4/蔡甸 cai4 dian4/宜都 yi2 du1/温差 wen1 cha1/级差 ji2 cha1/落差 luo4 cha1/反差 fan3 cha1/
        逆差 ni4 cha1/公差 gong1 cha1/应力 ying4 li4/应声 ying4 sheng1/接应 jie1 ying4/直奔 zhi2 ben4/
        上调 shang4 tiao2/冠以 guan4 yi3/上行 shang4 xing2/萎缩 wei3 suo1/挑起 tiao3 qi3/载入 zai3 ru4/耶鲁 ye1 lu3/
        薄膜 bo2 mo2/染发 ran3 fa4/副将 fu4 jiang4/偏将 pian1 jiang4/麻将 ma2 jiang4/登场 deng1 chang3/
        哮喘 xiao4 chuan3/咆哮 pao2 xiao4/支行 zhi1 hang2/成行 cheng2 xing2/哈佛 ha1 fo2/选中 xuan3 zhong4/
        射中 she4 zhong4/刺中 ci4 zhong4/投中 tou2 zhong4/中选 zhong4 xuan3/强忍 qiang3 ren3/吓倒 xia4 dao3/
        推倒 tui1 dao3/病倒 bing4 dao3/昏倒 hun1 dao3/击倒 ji1 dao3/接种 jie1 zhong4/青藏 qing1 zang4/
        藏语 zang4 yu3/藏文 zang4 wen2/崆峒 kong1 tong2/解法 jie3 fa3/摒弃 bing4 qi4/颈椎 jing3 zhui1/
        问卷 wen4 juan4/张掖 zhang1 ye4/划破 hua2 po4/重振 chong2 zhen4/重回 chong2 hui2/重整 chong2 zheng3/
        画卷 hua4 juan4/乙炔 yi3 que1/弹奏 tan2 zou4/弹指 tan2 zhi3/还款 huan2 kuan3/还给 huan2 gei3/隐没 yin3 mo4/
        发帖 fa1 tie3/燕国 yan1 guo2/砝码 fa3 ma3/偏好 pian1 hao4/澎湃 peng2 pai4/澎湖 peng2 hu2/几近 ji1 jin4/
        用尽 yong4 jin4/受尽 shou4 jin4/剪切 jian3 qie1/切块 qie1 kuai4/切换 qie1 huan4/属相 shu3 xiang4/
        空位 kong4 wei4/褪色 tui4 se4/情分 qing2 fen4/辈分 bei4 fen4/缘分 yuan2 fen4/身处 shen1 chu3/无处 wu2 chu4/
        出处 chu1 chu4/屋脊 wu1 ji3/山脊 shan1 ji3/脊柱 ji3 zhu4/脊髓 ji3 sui3/脊梁 ji3 liang2/不菲 bu4 fei3/
        禁用 jin4 yong4/踏实 ta1 shi5/所得 suo3 de2/不见得 bu4 jian4 de2/失而复得 shi1 er2 fu4 de2/因为 yin1 wei4/
        早上好 zao3 shang5 hao3/不得了 bu4 de2 liao3/为准 wei2 zhun3/为重 wei2 zhong4/猜中 cai1 zhong4/
        中举 zhong4 ju3/重塑 chong2 su4/佛罗里达 fo2 luo2 li3 da2/漯河 luo4 he2/多重 duo1 chong2/看似 kan4 si4/
        结出 jie1 chu1/方差 fang1 cha1/爱将 ai4 jiang4/待会儿 dai1 hui4 er5""".split("/"),
    )
}
_ALONE = {  # hanzi that are a word by themselves
    "长": "chang2",
    "得": "de5",
    "佛": "fo2",
    "似": "si4",
    "调": "tiao2",
    "卜": "bu3",
    "教": "jiao1",
    "切": "qie1",
    "弹": "tan2",
}
_FOLLOWED = {  # and such before certain others
    "长得": "zhang3",
    "还书": "huan2",
    "还钱": "huan2",
    "还债": "huan2",
    "还款": "huan2",
}
_ALWAYS = {"一": "yi1", "不": "bu4", "谁": "shei2", "嗯": "en4", "欸": "ei4", "朴": "pu3", "颇": "po1", "框": "kuang4"}

_CHILD_ZI = frozenset(  # 子 is no suffix
    """电子 男子 女子 太子 原子 老子 公子 天子 粒子 离子 莲子 母子 精子 因子 孝子 瓜子 中子 质子 孟子 孔子 庄子
    皇子 棋子 次子 光子 才子 荀子 养子 诸子 世子 卵子 爱子 幼子 游子 臣子 仙子 墨子 童子 分子""".split()
)
_CHILD_ER = frozenset(
    "女儿 婴儿 幼儿 孤儿 胎儿 侄儿 小儿 生儿 男儿 少儿 妻儿 患儿 健儿 托儿 台儿 奴儿 龟儿 娃儿 妹儿".split()
)
_GROWN = "满出大成有着官老者辈子女孙势相史机房兄嫂进肉胖个高"  # 长 before these is to grow, or elder
_GAINED = "获取不只难夺赢求见彼引博心应乍自挣购捧既兼易摘征争分两理多可"  # 得 after these is to get
_COUNTED = "一二两三四五六七八九十百千万几每这那哪半"  # 只 after these is a measure
_POINTING = "这那每另某哪有下上前后又再是在了"  # 一 after these begins a count, though both are in one word

_HOMOPHONES = {"一": ("yi2", "姨", "意"), "不": ("bu2", "醭", "步")}  # rising, falling

_HAN = re.compile(r"[\u4e00-\u9fff]+")
_UNIT = re.compile(r"[\u4e00-\u9fff]+|[A-Za-z]+(?:['’-][A-Za-z]+)*|\S")


def pinyin(text: str) -> list[Piece]:
    """Every spoken unit of `text` and every mark; blanks are dropped.

    A hanzi comes with its pinyin ("ni3", "lv4"; 5 is the neutral tone), an English word with
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
    """The syllables of a run of hanzi."""
    words = segment(han)
    sounds: list[str] = []
    fixed: set[int] = set()  # where 一 ends a word such as 统一 and keeps its tone
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        sounds += _single_reading(before, word, after) if len(word) == 1 else _word_reading(word)
        if len(word) > 1 and word[-1] == "一" and word[-2] not in _POINTING:
            fixed.add(len(sounds) - 1)
    return [sound if i in fixed else _sandhi(han, sounds, i) for i, sound in enumerate(sounds)]


def _single_reading(before: str, char: str, after: str) -> tuple[str, ...]:
    """The reading of a word of one hanzi between two others."""
    if char == "只" and before and before[-1] in _COUNTED:
        return ("zhi1",)
    if char == "儿" and before:
        return ("er5",)
    if char == "地" and len(before) > 1 and after:
        return ("de5",)
    if char + after[:1] in _FOLLOWED:
        return (_FOLLOWED[char + after[:1]],)
    return _word_reading(char)


@functools.lru_cache(maxsize=100_000)
def _word_reading(word: str) -> tuple[str, ...]:
    """The syllables of a word by itself, 一 and 不 in their own tones."""
    if word in _ALONE:
        return (_ALONE[word],)
    library = optional("pypinyin", "train")
    sounds = library.lazy_pinyin(word, style=library.Style.TONE3, neutral_tone_with_five=True)
    sounds = [_ALWAYS.get(char, sound) for char, sound in zip(word, sounds, strict=True)]
    for i, char in enumerate(word):
        pair = word[max(i - 1, 0) : i + 1]
        if char == "子" and (i == 0 or pair in _CHILD_ZI):
            sounds[i] = "zi3"
        elif char == "儿":
            sounds[i] = "er2" if i == 0 or pair in _CHILD_ER else "er5"
    if len(word) > 1:
        _correct_ends(word, sounds)
    for known, reading in _WORDS.items():
        if known in word:
            start = word.index(known)
            sounds[start : start + len(known)] = reading
    return tuple(sounds)


def _correct_ends(word: str, sounds: list[str]) -> None:
    if word[0] == "长":
        sounds[0] = "zhang3" if word[1] in _GROWN else "chang2"
    if word[-1] == "为":
        sounds[-1] = "wei2"
    elif word[-1] == "只" and word[-2] in _COUNTED:
        sounds[-1] = "zhi1"
    elif word[-1] == "地" and len(word) > 2 and word[-2] == word[-3]:
        sounds[-1] = "de5"
    elif word[1] == "得" and len(word) in (2, 3) and sounds[1] != "dei3":
        sounds[1] = "de2" if word[0] in _GAINED else "de5"
    elif word[-2:] in NEUTRAL:
        sounds[-1] = sounds[-1][:-1] + "5"


def _sandhi(han: str, sounds: list[str], i: int) -> str:
    """The tone in which 一 or 不 at `i` is spoken: rising before a falling tone, and 一 falling before others."""
    if han[i] not in "一不" or sounds[i][-1] == "5" or i + 1 == len(han):
        return sounds[i]
    if is_between_twins(han, i):
        return sounds[i][:-1] + "5"
    following = "4" if sounds[i + 1] == "ge5" else sounds[i + 1][-1]
    if han[i] == "不":
        return "bu2" if following == "4" else "bu4"
    if not is_count(han, i):
        return "yi1"
    return "yi2" if following == "4" else "yi4"


def spellings(hanzi: Iterable[str]) -> dict[str, Spelling]:
    """How a vocabulary of `hanzi` writes 一 and 不, see `cosy.text.sandhi`.

    Raises MissingDependencyError without the `train` extra.
    """
    characters = list(hanzi)
    return {
        char: Spelling(rising, falling, "".join(c for c in characters if pinyin(char + c)[0].pinyin == sound))
        for char, (sound, rising, falling) in _HOMOPHONES.items()
    }
