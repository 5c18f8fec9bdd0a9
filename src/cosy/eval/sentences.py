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

PROSE = (  # of ordinary words, many of which no template of the training has
    "The museum opens its new wing for modern sculpture in September.",
    "Scientists have discovered a planet that may contain liquid water.",
    "Heat the oil gently and add the chopped onions and garlic.",
    "The company announced that profits had fallen for the second quarter.",
    "A narrow path leads through the forest to an abandoned castle.",
    "Several passengers complained about the noise from the engine.",
    "Parents should talk with their children about safety on the internet.",
    "The government plans to reduce taxes for small businesses.",
    "Her grandmother taught her how to bake bread and knit sweaters.",
    "Remember to charge your phone before the long flight home.",
    "The orchestra performed a symphony by a young composer from Brazil.",
    "Heavy snow blocked the highway and delayed hundreds of drivers.",
    "The judge ordered the witness to answer every question truthfully.",
    "Most birds build their nests in spring, when insects are plentiful.",
    "The recipe calls for three eggs, a pinch of salt and fresh parsley.",
    "Engineers tested the bridge by loading it with concrete blocks.",
    "He apologized for the mistake and promised to repair the damage.",
    "The novel describes the adventures of a sailor during the war.",
    "Our neighbors organized a picnic to celebrate the end of summer.",
    "Regular exercise strengthens the muscles and protects the heart.",
    "The lecture explained how ancient traders crossed the desert.",
    "Please type your password twice and click the green button.",
    "Volunteers collected plastic bottles along the coast on Saturday.",
    "The detective noticed a strange mark on the edge of the envelope.",
    "Prices of vegetables have doubled since the drought began.",
    "An elderly gentleman offered his seat to a pregnant woman.",
    "The software crashed whenever we tried to print a large document.",
    "Students must submit their essays before midnight on Friday.",
    "The pilot reported thick fog above the northern islands.",
    "Ripe bananas can be frozen and blended into a delicious dessert.",
    "The council rejected the proposal to widen the avenue.",
    "Their apartment has wooden floors and a spacious balcony.",
    "The coach praised the goalkeeper for his courage and patience.",
    "A sudden storm destroyed the roof of the elementary school.",
    "Experts warn that the disease spreads quickly in crowded places.",
    "She inherited a collection of rare stamps from her uncle.",
    "The carpenter measured the shelf and trimmed it with a saw.",
    "Visitors are not allowed to feed the monkeys or the elephants.",
    "The committee will publish its final report next spring.",
    "Dust and smoke from the volcano covered the entire valley.",
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
