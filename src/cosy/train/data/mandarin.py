"""Mandarin training text, drawn rather than collected: the sibling of `english`.

Sentences come from a small grammar over our own word lists (people, food, travel, work, numbers,
dates and prices as they are spoken, and some with English words), and from "salad": words of
jieba's dictionary around hanzi dealt like cards, so that every one of the commonest 3000 comes up
once a round however rare it is.  Everything is a pure function of a seed.

All texts are as the front end would leave them (`spoken`): numbers in hanzi, no blanks beside hanzi.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Collection, Iterator

from cosy.text.normalize import clean, write_out
from cosy.train.data import english
from cosy.train.data.lexicon import entries, hanzi

SALAD_HANZI = 3000
SALAD_SHARE, MIXED_SHARE, NAMED_SHARE = 0.35, 0.08, 0.03
LENGTHS = range(4, 31)  # of a text, in hanzi and English words

LISTS: dict[str, tuple[str, ...]] = {
    "pro": tuple("我 你 他 她 我们 你们 他们 大家 咱们".split()),
    "kin": tuple(
        """爸爸 妈妈 爷爷 奶奶 哥哥 姐姐 弟弟 妹妹 叔叔 阿姨 舅舅 姑姑 儿子 女儿 丈夫 妻子 孩子 外公 外婆 表哥 孙子""".split()
    ),
    "person": tuple(
        """老师 学生 医生 护士 司机 警察 经理 老板 同事 同学 朋友 邻居 客人 服务员 售货员 工程师 律师 记者 演员 歌手
        画家 作家 农民 工人 厨师 教授 校长 秘书 会计 导游 翻译 运动员 教练 科学家 店员 房东 室友 亲戚 顾客 病人""".split()
    ),
    "name": tuple(
        """小明 小红 小李 小王 小张 老陈 老刘 王芳 李伟 张丽 刘洋 陈静 杨帆 赵军 周敏 吴强 郑爽 孙涛 马超 林娜 何平
        高峰 罗兰 梁宇 宋佳 唐磊 韩雪 冯刚 董洁 曹阳 王老师 李医生 张先生 刘女士 陈经理 赵阿姨 周小姐""".split()
    ),
    "city": tuple(
        """北京 上海 广州 深圳 杭州 南京 苏州 成都 重庆 西安 武汉 天津 青岛 厦门 长沙 昆明 大连 哈尔滨 沈阳 郑州 桂林
        拉萨 香港 澳门 台北 东京 纽约 伦敦 巴黎 柏林 莫斯科 悉尼 新加坡 首尔 曼谷""".split()
    ),
    "country": tuple(
        "中国 美国 英国 法国 德国 日本 韩国 俄罗斯 意大利 西班牙 加拿大 澳大利亚 巴西 印度 埃及 泰国 越南".split()
    ),
    "place": tuple(
        """学校 公司 医院 银行 邮局 超市 商店 书店 饭馆 餐厅 咖啡馆 酒店 宾馆 机场 火车站 地铁站 公园 图书馆 博物馆
        电影院 体育馆 动物园 游泳池 办公室 教室 宿舍 厨房 客厅 卧室 院子 菜市场 药店 理发店 派出所 大使馆 广场
        停车场 加油站 海边 山上 河边 健身房 洗衣店 面包店 会议室 工厂 农村 城里 幼儿园""".split()
    ),
    "food": tuple(
        """米饭 面条 饺子 包子 馒头 炒饭 烤鸭 火锅 豆腐 牛肉 羊肉 鸡肉 猪肉 鱼 虾 鸡蛋 面包 蛋糕 饼干 沙拉 汉堡 西红柿
        土豆 白菜 黄瓜 萝卜 茄子 蘑菇 苹果 香蕉 橘子 葡萄 西瓜 草莓 桃子 梨 巧克力 冰淇淋 粽子 月饼 汤圆 春卷 烧饼
        糖醋排骨 宫保鸡丁 麻婆豆腐 酸辣汤""".split()
    ),
    "drink": tuple("茶 绿茶 红茶 咖啡 牛奶 果汁 啤酒 红酒 白酒 可乐 豆浆 酸奶 矿泉水 热水 冰水 柠檬水 奶茶".split()),
    "thing": tuple(
        """手机 电脑 电视 相机 钱包 钥匙 雨伞 眼镜 手表 书包 衣服 裤子 裙子 帽子 鞋子 袜子 围巾 手套 大衣 毛衣 衬衫 桌子
        椅子 沙发 床 灯 冰箱 洗衣机 空调 自行车 汽车 书 词典 杂志 报纸 地图 护照 机票 车票 门票 信用卡 礼物 照片 行李
        箱子 杯子 盘子 碗 筷子 勺子 刀 瓶子 盒子 本子 铅笔 钢笔 橡皮 剪刀 毛巾 牙刷 肥皂 镜子 枕头 被子 窗帘 吉他
        钢琴 足球 篮球 玩具 蜡烛 闹钟 耳机 充电器 电池 药 信 包裹 合同 文件 作业 报告""".split()
    ),
    "animal": tuple(
        "狗 猫 鸟 鱼 兔子 老虎 狮子 大象 猴子 熊猫 马 牛 羊 猪 鸡 鸭子 蛇 蝴蝶 狐狸 长颈鹿 海豚 企鹅 乌龟".split()
    ),
    "measured": tuple(
        """个苹果 个鸡蛋 个面包 个杯子 个问题 个朋友 个学生 个房间 个箱子 本书 本词典 本杂志 支铅笔 支钢笔 张纸 张桌子
        张照片 张机票 张门票 把椅子 把雨伞 把钥匙 件衣服 件毛衣 件礼物 条裤子 条裙子 条鱼 条路 双鞋子 双袜子 双筷子
        杯茶 杯咖啡 杯牛奶 瓶水 瓶啤酒 瓶果汁 碗米饭 碗面条 碗汤 斤苹果 斤牛肉 斤西红柿 公斤土豆 只猫 只狗 只鸡 只鸟
        头牛 匹马 辆汽车 辆自行车 台电脑 台电视 部手机 部电影 家饭馆 家公司 所学校 座山 座桥 栋楼 棵树 朵花 首歌 封信
        份报纸 份工作 块蛋糕 片面包 顶帽子 副眼镜 盏灯 间教室 位老师 位客人 名医生 节课 场比赛 次机会 种方法 盒巧克力
        包饼干 袋大米 串葡萄 架飞机 艘船 扇门 面镜子 幅画 篇文章 句话 口人""".split()
    ),
    "adj": tuple(
        """漂亮 便宜 好看 舒服 干净 安静 热闹 新鲜 方便 简单 重要 有名 有趣 特别 奇怪 结实 整齐 可爱 美丽 普通 复杂
        危险 安全 贵 大 小 新 旧 好 长 短 高 远 近 重 轻 厚 薄 宽 硬 软""".split()
    ),
    "trait": tuple(
        """聪明 热情 认真 努力 善良 幽默 老实 勇敢 害羞 活泼 耐心 细心 马虎 懒 年轻 漂亮 可爱 友好 严格 诚实 大方 客气
        温柔 冷静 谦虚 能干""".split()
    ),
    "feel": tuple(
        """高兴 累 饿 渴 忙 难过 生气 着急 害怕 紧张 开心 满意 失望 无聊 担心 激动 孤单 舒服 困 冷 热 后悔 感动 吃惊
        伤心 幸福 轻松""".split()
    ),
    "much": tuple("很 非常 特别 太 真 有点儿 比较 十分 相当 最 更 挺".split()),
    "very": tuple("很 非常 特别 真 比较 十分 相当 挺".split()),
    "taste": tuple("好吃 香 甜 酸 辣 咸 苦 油腻 清淡 新鲜 可口 难吃".split()),
    "color": tuple("红色 蓝色 绿色 黄色 白色 黑色 灰色 紫色 粉色 棕色 橙色 金色 银色".split()),
    "weather": tuple(
        "下雨 下雪 刮风 晴天 阴天 多云 打雷 起雾 很热 很冷 很凉快 很暖和 特别闷热 有点儿潮湿 下大雨 有台风".split()
    ),
    "season": tuple("春天 夏天 秋天 冬天".split()),
    "when": tuple(
        """今天 明天 昨天 后天 前天 现在 刚才 早上 上午 中午 下午 晚上 今天早上 昨天晚上 明天下午 这个星期 下个星期
        上个月 下个月 今年 去年 明年 周末 每天 以前 最近 放学以后 下班以后 吃饭的时候 星期天 暑假 寒假 春节 半夜
        清晨 傍晚""".split()
    ),
    "soon": tuple(
        "今天 明天 后天 下午 晚上 明天早上 下个星期 周末 下个月 待会儿 马上 等一下 下班以后 放学以后".split()
    ),
    "ago": tuple("昨天 前天 刚才 今天早上 昨天晚上 上个星期 上个月 去年 几天前 很久以前 小时候 半年前 刚刚".split()),
    "often": tuple("常常 经常 总是 有时候 偶尔 每天 已经 从来不 一直 很少 正在 也 都".split()),
    "do": tuple(
        """看电影 听音乐 看书 写信 写作业 做饭 洗衣服 打扫房间 学习汉语 学英语 画画 跳舞 唱歌 跑步 游泳 爬山 打篮球
        踢足球 打羽毛球 下棋 钓鱼 旅游 逛街 买东西 上网 玩游戏 看报纸 看电视 打电话 发短信 开会 上班 加班 喝茶
        喝咖啡 吃早饭 吃晚饭 睡觉 休息 散步 拍照 骑自行车 开车 坐地铁 等公共汽车 收拾行李 弹钢琴 拉小提琴 练习书法
        打太极拳 包饺子 洗碗 浇花 修电脑 理发 看病 复习功课 准备考试 聊天 照顾孩子 过生日 锻炼身体 学做菜 找工作
        搬家 滑雪 滑冰""".split()
    ),
    "move": tuple("坐飞机 坐火车 坐地铁 坐公共汽车 坐船 打车 开车 骑自行车 走路 坐高铁 骑摩托车".split()),
    "use": tuple("买 卖 找 借 拿 带 看 喜欢 需要 用 修 换 送 要 想买 丢了 弄坏了 忘了带 找到了 买了 拿走了".split()),
    "ba": tuple(
        """拿过来 放好 收起来 打开 关上 还给我 送给他 放在桌子上 放在门口 带回家 修好 洗干净 卖掉 扔掉 借给我 拿走
        放进箱子里 搬到楼上 弄丢了 弄坏了 忘在家里了""".split()
    ),
    "spot": tuple(
        "桌子上 椅子下面 门后面 床上 书包里 抽屉里 箱子里 窗户旁边 冰箱里 柜子里 沙发上 车里 墙上 手里 电视旁边".split()
    ),
    "side": tuple("前面 后面 左边 右边 旁边 对面 附近 里面 外面 东边 西边 南边 北边".split()),
    "greet": tuple(
        """你好 您好 早上好 下午好 晚上好 大家好 好久不见 欢迎光临 晚安 再见 明天见 一会儿见 辛苦了 新年快乐 生日快乐
        恭喜恭喜 祝你好运 一路平安 路上小心 保重身体 谢谢 多谢 对不起 没关系 不客气 不好意思 打扰了 请进 请坐 请稍等
        别着急 慢慢来 加油 没问题 当然可以""".split()
    ),
    "subject": tuple(
        "数学 语文 英语 历史 地理 物理 化学 生物 音乐 美术 体育 汉语 法律 经济 医学 哲学 文学 计算机 建筑".split()
    ),
    "language": tuple("汉语 英语 法语 德语 日语 韩语 俄语 西班牙语 广东话 上海话 普通话".split()),
    "job": tuple(
        "医生 老师 律师 记者 工程师 司机 厨师 会计 护士 警察 翻译 导游 演员 科学家 作家 设计师 程序员 飞行员".split()
    ),
    "ill": tuple(
        "感冒了 发烧了 头疼 牙疼 肚子疼 咳嗽 嗓子疼 受伤了 睡不着 没有胃口 过敏了 腰疼 眼睛不舒服 头晕".split()
    ),
    "topic": tuple(
        """天气 工作 学习 生活 健康 历史 文化 音乐 电影 新闻 经济 环境 交通 教育 科学 艺术 爱情 友谊 时间 将来 技术
        社会 自然 传统 体育 旅行 语言 比赛 考试 价格 服务 质量 计划 经验 习惯 梦想 故事 消息 关系 安全""".split()
    ),
    "think": tuple("觉得 认为 听说 知道 希望 相信 发现 担心 记得 以为 想".split()),
    "ask": tuple("请问 你知道 你能告诉我 麻烦问一下 我想问 劳驾".split()),
    "day": tuple("一 二 三 四 五 六 天".split()),
    "festival": tuple("春节 中秋节 端午节 国庆节 元宵节 清明节 圣诞节 儿童节 教师节 重阳节 劳动节".split()),
    "end": tuple("吗 呢 吧 啊".split()),
    "en": tuple(
        """computer email laptop phone camera meeting project coffee party weekend shopping manager office model design
        report file folder password update message online offline website button screen keyboard printer budget
        deadline schedule ticket hotel pizza salad sandwich video music movie game team boss idea style size sale
        menu bar radio paper table server data code software internet blog podcast user link plan""".split()
    ),
    "thing_en": tuple(
        """computer laptop phone camera printer keyboard file folder password report ticket video website screen email
        server radio model""".split()
    ),
    "say_en": (
        "hello",
        "good morning",
        "thank you",
        "thank you very much",
        "see you tomorrow",
        "how are you",
        "no problem",
        "good night",
        "of course",
        "I love you",
        "happy birthday",
        "nice to meet you",
        "take it easy",
        "excuse me",
        "what is your name",
        "have a good day",
        "I am sorry",
        "you are welcome",
        "let us go",
    ),
    "adj_en": tuple("cool nice busy happy simple perfect fashion smart easy free strong crazy sweet special".split()),
    "verb_en": tuple("check download update cancel confirm review print share open send save delete".split()),
    "name_en": english.LISTS["name"],
    "place_en": english.LISTS["place"],
}

TEMPLATES: tuple[str, ...] = (
    "{greet}，{name}。",
    "{greet}，我叫{name}。",
    "{greet}，请问{place}怎么走？",
    "{greet}，我们{soon}再联系。",
    "你好，请问你是{name}吗？",
    "很高兴认识你，我是{country}人。",
    "{pro}{when}在{place}{do}。",
    "{pro}{often}在{place}{do}。",
    "{kin}{often}{do}。",
    "{name}{when}{do}，{when}{do}。",
    "{pro}的{kin}是{job}。",
    "我{kin}在{city}当{job}。",
    "{name}是一个{very}{trait}的人。",
    "{name}又{trait}又{trait}。",
    "我们的{person}{very}{trait}。",
    "你{when}想{do}还是{do}？",
    "你{soon}有时间{do}吗？",
    "你喜欢{do}吗？",
    "你会不会{do}？",
    "谁在{place}{do}？",
    "你为什么不{do}？",
    "你是什么时候到{city}的？",
    "{pro}怎么还没来{place}？",
    "你觉得这个{thing}怎么样？",
    "这个{thing}多少钱？",
    "这个{thing}{price}，太贵了。",
    "{food}{price}一斤，{food}{price}一斤。",
    "一共{price}，您怎么付钱？",
    "便宜一点儿吧，{price}行不行？",
    "我要{measured}和{measured}。",
    "请给我{measured}，谢谢。",
    "桌子上有{measured}。",
    "{pro}买了{measured}。",
    "{name}家有{measured}，还有{measured}。",
    "服务员，来一份{food}和一杯{drink}。",
    "我想吃{food}，不想吃{food}。",
    "{food}很{taste}，你尝一尝。",
    "这家餐厅的{food}有点儿{taste}。",
    "你喝{drink}还是喝{drink}？",
    "{kin}做的{food}最好吃。",
    "请把{thing}{ba}。",
    "{pro}把{thing}{ba}。",
    "别把{thing}{ba}！",
    "{pro}的{thing}在{spot}。",
    "你看见我的{thing}了吗？",
    "我的{thing}不见了，怎么办？",
    "{pro}{use}一个{color}的{thing}。",
    "那个{color}的{thing}是谁的？",
    "这个{thing}比那个{thing}{adj}。",
    "{thing}没有{thing}那么{adj}。",
    "{place}在{place}的{side}。",
    "{place}离这儿{very}远。",
    "请问，附近有没有{place}？",
    "一直往前走，到{place}往左拐。",
    "{ask}{place}在哪儿？",
    "从{city}到{city}要{duration}。",
    "{pro}{soon}{move}去{city}。",
    "{move}去{place}比较快。",
    "我{ago}从{city}回来。",
    "去{city}的火车{clock}开。",
    "飞机{clock}到{city}。",
    "{when}{city}{weather}。",
    "{season}的时候，{city}常常{weather}。",
    "天气预报说{soon}{weather}。",
    "外面{weather}，你带{thing}了吗？",
    "今天最高气温{small}度，最低{small}度。",
    "{pro}{much}{feel}。",
    "{pro}今天有点儿{feel}，不想{do}。",
    "听到这个消息，{pro}{very}{feel}。",
    "{name}{ill}，不能去{place}了。",
    "医生，我{ill}，吃什么药好？",
    "你要多休息，少{do}。",
    "现在{clock}，我们该走了。",
    "会议{clock}开始，请不要迟到。",
    "我每天{clock}起床，{clock}睡觉。",
    "明天{clock}在{place}见面，好吗？",
    "今天是{date}，星期{day}。",
    "{name}的生日是{date}。",
    "{year}年，{pro}搬到了{city}。",
    "{name}{year}年出生在{city}。",
    "{year}年{date}，{city}下了一场大雪。",
    "我的电话号码是{phone}。",
    "他住在{room}房间。",
    "{person}今年{small}岁了。",
    "我们班有{small}个学生。",
    "这本书有{number}页。",
    "{city}离{city}有{number}公里。",
    "{city}有{big}人口。",
    "价格上涨了百分之{percent}。",
    "百分之{percent}的人喜欢{do}。",
    "这是{pro}第{small}次来{city}。",
    "请看第{small}页，第{small}题。",
    "他得了第{small}名，大家都很{feel}。",
    "{small}加{small}等于多少？",
    "{number}，{number}，{number}。",
    "气温是零下{small}度。",
    "他跑了{decimal}公里。",
    "我学了{duration}{language}。",
    "{pro}会说{language}和一点儿{language}。",
    "{subject}比{subject}难多了。",
    "{when}有{subject}课，你准备好了吗？",
    "{name}的{subject}学得{very}好。",
    "我对{topic}{very}感兴趣。",
    "我们来谈谈{topic}和{topic}的问题。",
    "{topic}对我们的{topic}很重要。",
    "{pro}{think}{topic}比{topic}更重要。",
    "{pro}{think}{name}不会来了。",
    "我{think}这里的{topic}越来越好了。",
    "如果{soon}{weather}，我们就不去{place}了。",
    "因为{weather}，所以{pro}没有去{place}。",
    "虽然{pro}很忙，但是{often}{do}。",
    "{pro}一边{do}，一边{do}。",
    "{pro}先{do}，然后{do}。",
    "除了{do}以外，我还喜欢{do}。",
    "不但{name}来了，而且{name}也来了。",
    "{pro}刚要{do}，{kin}就回来了。",
    "{pro}已经{do}了，你呢？",
    "等{pro}回来，我们一起{do}吧。",
    "让我们{soon}去{place}{do}吧！",
    "请不要在{place}{do}。",
    "可以帮我{do}吗？",
    "我能用一下你的{thing}吗？",
    "小心，那只{animal}很危险！",
    "{kin}养了一只{color}的{animal}。",
    "{animal}比{animal}跑得快。",
    "动物园里有{animal}、{animal}和{animal}。",
    "{festival}那天，我们全家一起{do}。",
    "{festival}快到了，{place}里非常热闹。",
    "真没想到，{name}也喜欢{do}！",
    "多漂亮的{thing}啊！",
    "是的，{pro}{soon}去{place}。",
    "不，那不是我的{thing}。",
    "他慢慢地打开门，看着{name}。",
    "{name}被{person}批评了一顿。",
    "{name}告诉我，{person}{soon}去{city}。",
    "经理让{name}{soon}去{city}出差。",
    "{person}正在{place}等你呢。",
    "下班了，你{soon}{do}{end}？",
    "你说得对，{pro}应该{do}。",
    "对不起，我听不懂你说的话。",
    "没关系，{soon}再说吧。",
    "这是{color}的，那是{color}的。",
    "我最喜欢的季节是{season}。",
    "他一到{place}就{do}。",
    "{pro}越来越喜欢{do}了。",
    "我有一个{kin}和两个{kin}。",
    "{name}和{name}{ago}结婚了。",
)

MIXED: tuple[str, ...] = (
    "我的{thing_en}坏了，怎么办？",
    "请把{thing_en}发给我。",
    "{pro}{soon}有一个{en}。",
    "这个{en}的{en}很重要。",
    "你{soon}参加{en}吗？",
    "{name}说{say_en}，我说{say_en}。",
    "她笑着说：{say_en}！",
    "老师教我们说{say_en}。",
    "{say_en}用汉语怎么说？",
    "这件衣服{very}{adj_en}。",
    "{name}今天{very}{adj_en}。",
    "请你{verb_en}一下这个{thing_en}。",
    "我{ago}{verb_en}了你的{thing_en}。",
    "{en}是什么意思？",
    "这里没有{en}，只有{en}。",
    "我在{place}看到一个{adj_en}的{en}。",
    "他的{en}比我的{en}好。",
    "{pro}把{thing_en}忘在{place}了。",
    "我们{soon}讨论{en}和{en}。",
    "老板要我{soon}交{en}。",
    "这家{place}的{en}很有名。",
    "{say_en}，{name}，{soon}见！",
)

NAMED: tuple[str, ...] = (
    "{name_en}{soon}来{city}。",
    "我的朋友{name_en}会说{language}。",
    "{name_en}和{name}在{place}{do}。",
    "你认识{name_en}吗？",
    "{name_en}是从{place_en}来的{person}。",
    "{pro}{ago}去了{place_en}。",
    "{name_en}，你{soon}想吃{food}吗？",
    "请告诉{name_en}，我{clock}到{place}。",
    "{place_en}的天气{very}好。",
    "{name_en}的{kin}是{job}。",
)

DIGITS = "零一二三四五六七八九"
_FIELD = re.compile(r"\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[。？！])")
_HANZI = re.compile(r"[\u4e00-\u9fff]")
_UNITS = re.compile(r"[\u4e00-\u9fff]|[a-z']+|[0-9]")


def number_words(n: int) -> str:
    """Spell `n` (0 to 99 999 999) in hanzi: 一百零五, 两万三千."""
    if not 0 <= n < 10**8:
        raise ValueError(f"number_words takes 0 to 99999999, got {n}")
    if n >= 10_000:
        head, rest = divmod(n, 10_000)
        myriads = "两" if head == 2 else number_words(head)
        return f"{myriads}万" + (("零" if rest < 1000 else "") + _below_myriad(rest) if rest else "")
    words = _below_myriad(n) or "零"
    return words.removeprefix("一") if 10 <= n < 20 else words


def _below_myriad(n: int) -> str:
    words = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, n = divmod(n, unit)
        if digit:
            words += ("两" if digit == 2 and unit >= 1000 else DIGITS[digit]) + name
        elif words and n and not words.endswith("零"):
            words += "零"
    return words.rstrip("零")


def _digits(number: int | str) -> str:
    return "".join(DIGITS[int(d)] for d in str(number))


def _clock(rng: random.Random) -> str:
    part = rng.choice(("", "早上", "上午", "下午", "晚上"))
    hour = {"": range(1, 13), "早上": range(5, 10), "上午": range(8, 12), "下午": range(1, 6), "晚上": range(6, 12)}[
        part
    ]
    minute = rng.choice(
        ("", "", "半", "一刻", f"{number_words(rng.randint(11, 59))}分", f"零{DIGITS[rng.randint(1, 9)]}分")
    )
    return f"{part}{_counted(rng.choice(hour))}点{minute}"


def _counted(n: int) -> str:
    return "两" if n == 2 else number_words(n)


def _special(kind: str, rng: random.Random) -> str:
    if kind == "small":
        return number_words(rng.randint(1, 99))
    if kind == "number":
        return number_words(rng.choice((rng.randrange(100), rng.randrange(1000), rng.randrange(10_000))))
    if kind == "big":
        return number_words(rng.randint(1, 9999) * 10_000)
    if kind == "percent":
        return rng.choice((number_words(rng.randint(1, 100)), _special("decimal", rng)))
    if kind == "decimal":
        return f"{number_words(rng.randrange(100))}点{_digits(rng.randint(1, 99))}"
    if kind == "measured":
        return _counted(rng.choice((rng.randint(1, 10), rng.randint(1, 10), rng.randint(11, 99)))) + rng.choice(
            LISTS["measured"]
        )
    if kind == "price":
        yuan = rng.choice((rng.randint(1, 20), rng.randint(20, 100), 10 * rng.randint(10, 999)))
        return f"{_counted(yuan)}块" + (rng.choice(("", "", DIGITS[rng.randint(1, 9)], "五毛")) if yuan < 100 else "钱")
    if kind == "clock":
        return _clock(rng)
    if kind == "date":
        return f"{number_words(rng.randint(1, 12))}月{number_words(rng.randint(1, 31))}{rng.choice('日号')}"
    if kind == "year":
        return _digits(rng.choice((rng.randint(1900, 2035), rng.randint(1000, 1900), rng.randint(1980, 2030))))
    if kind == "phone":
        number = f"1{rng.choice('35789')}" + "".join(str(rng.randrange(10)) for _ in range(9))
        return _digits(number).replace("一", "幺")
    if kind == "room":
        return _digits(rng.randint(101, 2999))
    if kind == "duration":
        return _counted(rng.randint(1, 20)) + rng.choice(("个小时", "分钟", "天", "个星期", "个月", "年", "个半小时"))
    raise KeyError(kind)


def fill(template: str, rng: random.Random) -> str:
    """Replace every `{field}` of `template` by a draw."""
    made = {"measured"}
    return _FIELD.sub(
        lambda m: rng.choice(LISTS[m[1]]) if m[1] in LISTS and m[1] not in made else _special(m[1], rng), template
    )


@functools.cache
def _words_around() -> dict[str, tuple[list[str], list[float]]]:
    """For each of the SALAD_HANZI commonest hanzi: the words with it, and the cumulated roots of their frequencies."""
    known = dict.fromkeys(hanzi(SALAD_HANZI))
    words: dict[str, list[tuple[str, float]]] = {char: [] for char in known}
    for word, frequency, part in entries():
        if len(word) <= 4 and not part.startswith("nr") and known.keys() >= set(word):
            for char in set(word):
                words[char].append((word, frequency**0.5))
    return {
        char: ([w for w, _ in found] or [char], list(itertools.accumulate(f for _, f in found)) or [1.0])
        for char, found in words.items()
    }


def _deal(rng: random.Random) -> Iterator[str]:
    """Words for ever: each round shuffles the commonest hanzi and takes a word around each."""
    around = _words_around()
    while True:
        cards = list(around)
        rng.shuffle(cards)
        for char in cards:
            words, weights = around[char]
            yield rng.choices(words, cum_weights=weights)[0]


def salad(dealt: Iterator[str], rng: random.Random) -> str:
    """Three to seven dealt words, sometimes with a comma or as a question."""
    chosen = list(itertools.islice(dealt, rng.randint(3, 7)))
    if len(chosen) > 4 and rng.random() < 0.5:
        chosen[len(chosen) // 2] += "，"
    return "".join(chosen) + rng.choice("。。。。？！")


def normal_form(text: str) -> str:
    """The sentence without case, blanks and punctuation: what must not be shared with the evaluation."""
    return " ".join(_UNITS.findall(text.lower()))


def spoken(text: str) -> str:
    """`text` as the front end would give it to the network: digits and signs as hanzi."""
    return write_out(clean(text), "zh")


def draw(seed: int, held_out: Collection[str] = ()) -> Iterator[str]:
    """Yield distinct training texts of one or two sentences for ever.

    `held_out` holds normal forms (`normal_form`) of sentences that must not appear.

    Raises MissingDependencyError without the `train` extra.
    """
    rng = random.Random(seed)
    dealt = _deal(rng)
    refused, seen = frozenset(held_out), set(held_out)
    while True:
        kind = rng.random() - SALAD_SHARE
        if kind < 0:
            text = salad(dealt, rng)
        elif kind < MIXED_SHARE:
            text = fill(rng.choice(MIXED), rng)
        elif kind < MIXED_SHARE + NAMED_SHARE:
            text = fill(rng.choice(NAMED), rng)
        else:
            text = fill(rng.choice(TEMPLATES), rng)
        form = normal_form(text)
        if (
            len(form.split()) in LENGTHS
            and form not in seen
            and refused.isdisjoint(map(normal_form, _SENTENCE_END.split(text)))
        ):
            seen.add(form)
            yield text
