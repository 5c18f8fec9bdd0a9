"""The acceptance sentences: a fixed list that training never sees (`draw` of `train.data` refuses them).

Slot sentences have the form "the ADJ NOUN VERB PREP the ADJ NOUN" over small word lists, so a
grammar of exactly that form recognises them; everyday sentences are for a recogniser's own
language model.  The slot list is drawn once from a fixed seed; the everyday lists, in English, in
Mandarin and mixed, are written out.
"""

from __future__ import annotations

import random

ADJECTIVES = "old young little happy quiet brown green heavy clever gentle hungry yellow".split()
NOUNS = """man woman child teacher doctor farmer river garden window table mountain village horse kitchen market
bridge""".split()
VERBS = "walks runs looks jumps moves travels sleeps waits turns listens".split()
PREPOSITIONS = "near behind under over toward beside around through".split()

EVERYDAY = (
    "Could you tell me the way to the station, please?",
    "I would like a cup of coffee with milk.",
    "The children are playing in the garden after school.",
    "My brother works in a hospital near the city.",
    "We are going to the beach next week.",
    "It was raining when she left the house this morning.",
    "He did not know what to say to his father.",
    "There is a letter for you on the kitchen table.",
    "Please close the door and open the window.",
    "The train to London leaves at half past nine.",
    "She has been learning English for three years.",
    "I think we should wait until tomorrow.",
    "Nobody remembered the name of the old hotel.",
    "The water in the lake is very cold today.",
    "They bought a new car because the old one was broken.",
    "Thank you very much for your help yesterday.",
    "You can see the mountains from the top of the hill.",
    "The doctor told him to stay at home and rest.",
    "What would you like to eat for dinner tonight?",
    "This is the best book that I have ever read.",
)

MANDARIN_EVERYDAY = (
    "请问去火车站怎么走？",
    "我想喝一杯热牛奶。",
    "孩子们放学以后在公园里玩。",
    "我哥哥在城市附近的医院工作。",
    "我们下个星期要去海边。",
    "今天早上她出门的时候正在下雨。",
    "他不知道应该跟父亲说些什么。",
    "厨房的桌子上有你的一封信。",
    "请把门关上，把窗户打开。",
    "去北京的火车八点半出发。",
    "她学英语已经学了三年了。",
    "我觉得我们应该等到明天再说。",
    "没有人记得那家老饭店的名字。",
    "今天湖里的水非常冷。",
    "他们买了一辆新车，因为旧的坏了。",
    "非常感谢你昨天的帮助。",
    "站在山顶上可以看见整个城市。",
    "医生让他在家里好好休息。",
    "你今天晚上想吃什么？",
    "这是我读过的最好的一本书。",
    "外面风很大，记得多穿一件衣服。",
    "这件衬衫太贵了，能便宜一点吗？",
    "爷爷每天早上都去河边散步。",
    "老师说明天不用交作业。",
    "我的手机没电了，可以借你的用一下吗？",
    "飞机晚点了两个小时。",
    "图书馆里请不要大声说话。",
    "妹妹一边唱歌一边洗碗。",
    "这条路太窄，汽车开不过去。",
    "春天来了，院子里的花都开了。",
    "他把钥匙忘在办公室里了。",
    "我从来没有去过那么远的地方。",
    "会议从下午三点开始，别迟到。",
    "超市里的苹果又大又甜。",
    "只要努力，就一定会成功。",
    "她高兴得说不出话来。",
    "我们一起看电影，好不好？",
    "昨天的足球比赛你看了没有？",
    "冬天的晚上，街上很安静。",
    "祝你生日快乐，身体健康！",
)
MIXED = (
    "我的 computer 又坏了，怎么办？",
    "请把这个 file 发给经理。",
    "今天的 meeting 改到下午了。",
    "他买了一杯 coffee 和一个面包。",
    "我们周末去 shopping 吧。",
    "这个 project 什么时候能完成？",
    "她在 London 工作了两年。",
    "周末有一个很大的 party，你来吗？",
    "谢谢你的 email，我明天回复。",
    "这首歌是 Michael 写的。",
)


def slot_sentences(count: int = 40, seed: int = 20_250) -> tuple[str, ...]:
    """The first `count` slot sentences; a smaller count is a prefix of a larger one."""
    rng = random.Random(seed)
    pick = rng.choice
    return tuple(
        f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} {pick(PREPOSITIONS)} the {pick(ADJECTIVES)} {pick(NOUNS)}."
        for _ in range(count)
    )
