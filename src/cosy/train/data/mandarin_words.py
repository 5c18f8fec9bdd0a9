"""The word lists of the Mandarin text generator, each named after the field it fills.

Lists whose names end in `_en` are English words and phrases for sentences that mix the languages.
Things that are counted stand behind their measure words.
"""

from __future__ import annotations

from cosy.train.data.english_words import LISTS as ENGLISH

ITEMS = tuple(  # each behind its measure, one hanzi
    """部手机 台电脑 台电视 台相机 个钱包 把钥匙 把雨伞 副眼镜 块手表 个书包 件衣服 条裤子 条裙子 顶帽子 双鞋子
    双袜子 条围巾 副手套 件大衣 件毛衣 件衬衫 张桌子 把椅子 张沙发 张床 盏灯 台冰箱 台洗衣机 台空调 辆自行车
    辆汽车 本书 本词典 本杂志 份报纸 张地图 本护照 张机票 张车票 张门票 张信用卡 件礼物 张照片 件行李 个箱子
    个杯子 个盘子 个碗 双筷子 把勺子 把刀 个瓶子 个盒子 个本子 支铅笔 支钢笔 块橡皮 把剪刀 条毛巾 把牙刷 块肥皂
    面镜子 个枕头 床被子 块窗帘 把吉他 架钢琴 个足球 个篮球 个玩具 根蜡烛 个闹钟 副耳机 个充电器 节电池 盒药
    封信 个包裹 份合同 份文件 份作业 份报告 个花瓶 把梳子 条腰带 块地毯 张邮票 本日记""".split()
)

LISTS: dict[str, tuple[str, ...]] = {
    "pro": tuple("我 你 他 她 我们 你们 他们 大家 咱们".split()),
    "kin": tuple(
        """爸爸 妈妈 爷爷 奶奶 哥哥 姐姐 弟弟 妹妹 叔叔 阿姨 舅舅 姑姑 儿子 女儿 丈夫 妻子 孩子 外公 外婆 表哥
        孙子 父亲 母亲""".split()
    ),
    "person": tuple(
        """老师 学生 医生 护士 司机 警察 经理 老板 同事 同学 朋友 邻居 客人 服务员 售货员 工程师 律师 记者 演员
        歌手 画家 作家 农民 工人 厨师 教授 校长 秘书 会计 导游 翻译 运动员 教练 科学家 店员 房东 室友 亲戚 顾客
        病人""".split()
    ),
    "name": tuple(
        """小明 小红 小李 小王 小张 老陈 老刘 王芳 李伟 张丽 刘洋 陈静 杨帆 赵军 周敏 吴强 郑爽 孙涛 马超 林娜 何平 高峰
        罗兰 梁宇 宋佳 唐磊 韩雪 冯刚 董洁 曹阳 郭婷 袁浩 邓颖 彭辉 吕倩 卢鑫 蒋薇 蔡瑶 贾玲 薛蕾 潘欣怡 杜鹏 汪轩 姜涵
        姚艳 谭琳 廖萍 邹秀 郝霞 崔莹 邱华 侯英 邵杰 孟妍 尹超 乔勇 贺桂英 龚慧 朱梅 傅燕 萧红 徐明 王老师 李医生 张先生
        刘女士 陈经理 赵阿姨 周小姐 黄师傅 胡教授 谢校长""".split()
    ),
    "city": tuple(
        """北京 上海 广州 深圳 杭州 南京 苏州 成都 重庆 西安 武汉 天津 青岛 厦门 长沙 昆明 大连 哈尔滨 沈阳 郑州
        桂林 拉萨 香港 澳门 台北 东京 纽约 伦敦 巴黎 柏林 莫斯科 悉尼 新加坡 首尔 曼谷""".split()
    ),
    "country": tuple(
        "中国 美国 英国 法国 德国 日本 韩国 俄罗斯 意大利 西班牙 加拿大 澳大利亚 巴西 印度 埃及 泰国 越南".split()
    ),
    "place": tuple(
        """学校 公司 医院 银行 邮局 超市 商店 书店 饭馆 餐厅 咖啡馆 酒店 宾馆 机场 火车站 地铁站 公园 图书馆
        博物馆 电影院 体育馆 动物园 游泳池 办公室 教室 宿舍 厨房 客厅 卧室 院子 菜市场 药店 理发店 派出所 大使馆
        广场 停车场 加油站 海边 山上 河边 健身房 洗衣店 面包店 会议室 工厂 农村 城里 幼儿园""".split()
    ),
    "dish": tuple(
        """米饭 面条 饺子 包子 馒头 炒饭 烤鸭 火锅 豆腐 牛肉 羊肉 鸡肉 烤鱼 虾 面包 蛋糕 饼干 沙拉 汉堡 月饼
        粽子 汤圆 春卷 烧饼 糖醋排骨 宫保鸡丁 麻婆豆腐 酸辣汤 鸡蛋汤 红烧肉 炒土豆丝 西红柿炒鸡蛋 小笼包 牛肉面
        三明治 比萨饼""".split()
    ),
    "fresh": tuple(
        """鸡蛋 牛肉 羊肉 猪肉 西红柿 土豆 白菜 黄瓜 萝卜 茄子 蘑菇 菠菜 洋葱 玉米 苹果 香蕉 橘子 葡萄 西瓜 草莓
        桃子 梨 芒果 荔枝 樱桃 花生""".split()
    ),
    "drink": tuple("茶 绿茶 红茶 咖啡 牛奶 果汁 啤酒 红酒 白酒 可乐 豆浆 酸奶 矿泉水 热水 冰水 柠檬水 奶茶".split()),
    "item": ITEMS,
    "thing": tuple(item[1:] for item in ITEMS),
    "animal": tuple(
        "狗 猫 鸟 兔子 老虎 狮子 猴子 熊猫 羊 鸡 鸭子 蝴蝶 狐狸 长颈鹿 海豚 企鹅 乌龟 狼 青蛙 蜜蜂 松鼠 鹦鹉".split()
    ),
    "piece": tuple(
        """个苹果 个鸡蛋 个面包 张纸 条鱼 杯茶 杯咖啡 杯牛奶 瓶水 瓶啤酒 瓶果汁 碗米饭 碗面条 碗汤 斤苹果 斤牛肉
        斤西红柿 公斤土豆 块蛋糕 片面包 盒巧克力 包饼干 袋大米 串葡萄 根香蕉 盒牛奶 罐可乐 壶茶 盘饺子 份炒饭
        个汉堡 张邮票 朵花 束鲜花""".split()
    ),
    "scene": tuple(
        """个学生 个房间 只猫 只狗 只鸡 只鸟 头牛 头猪 匹马 条蛇 条路 条河 家饭馆 家公司 所学校 座山 座桥 栋楼
        棵树 间教室 位老师 位客人 名医生 架飞机 艘船 扇门 幅画 口井 层楼 排座位 群孩子 对夫妻 台机器 辆卡车
        盏路灯 块石头 片森林 口大锅 名警察 位老人 座塔 艘渔船 根柱子 台风扇""".split()
    ),
    "adj": tuple(
        """漂亮 便宜 好看 舒服 干净 安静 热闹 新鲜 方便 简单 重要 有名 有趣 特别 奇怪 结实 整齐 可爱 美丽 普通
        复杂 危险 安全 贵 大 小 新 旧 好 长 短 高 远 近 重 轻 厚 薄 宽 硬 软""".split()
    ),
    "trait": tuple(
        """聪明 热情 认真 努力 善良 幽默 老实 勇敢 害羞 活泼 耐心 细心 马虎 懒 年轻 漂亮 可爱 友好 严格 诚实
        大方 客气 温柔 冷静 谦虚 能干""".split()
    ),
    "mood": tuple(
        """高兴 难过 生气 着急 害怕 紧张 开心 满意 失望 担心 激动 后悔 感动 吃惊 伤心 幸福 轻松 兴奋 骄傲 惊讶
        放心""".split()
    ),
    "feel": tuple("高兴 累 饿 渴 忙 难过 生气 着急 紧张 开心 无聊 孤单 舒服 困 冷 热 担心 寂寞".split()),
    "low": tuple("累 困 饿 渴 忙 冷 热 难过 生气 紧张 无聊 担心 不舒服 不高兴".split()),
    "very": tuple("很 非常 特别 真 比较 十分 相当 挺".split()),
    "taste": tuple("好吃 香 甜 酸 辣 咸 苦 油腻 清淡 新鲜 可口 难吃".split()),
    "color": tuple("红色 蓝色 绿色 黄色 白色 黑色 灰色 紫色 粉色 棕色 橙色 金色 银色".split()),
    "weather": tuple(
        "下雨 下雪 刮风 晴天 阴天 多云 打雷 起雾 很热 很冷 很凉快 很暖和 特别闷热 有点儿潮湿 下大雨 有台风".split()
    ),
    "season": tuple("春天 夏天 秋天 冬天".split()),
    "when": tuple(
        """今天 明天 昨天 后天 前天 现在 刚才 早上 上午 中午 下午 晚上 今天早上 昨天晚上 明天下午 这个星期
        下个星期 上个月 下个月 今年 去年 明年 周末 每天 以前 最近 放学以后 下班以后 吃饭的时候 星期天 暑假 寒假
        春节 半夜 清晨 傍晚""".split()
    ),
    "soon": tuple(
        "今天 明天 后天 下午 晚上 明天早上 下个星期 周末 下个月 待会儿 马上 等一下 下班以后 放学以后".split()
    ),
    "ago": tuple("昨天 前天 刚才 今天早上 昨天晚上 上个星期 上个月 去年 几天前 很久以前 小时候 半年前 刚刚".split()),
    "often": tuple("常常 经常 总是 有时候 偶尔 每天 从来不 一直 很少 正在 也 又".split()),
    "do": tuple(
        """看电影 听音乐 看书 写信 写作业 做饭 洗衣服 打扫房间 学习汉语 学英语 画画 跳舞 唱歌 跑步 游泳 爬山
        打篮球 踢足球 打羽毛球 下棋 钓鱼 旅游 逛街 买东西 上网 玩游戏 看报纸 看电视 打电话 发短信 开会 上班 加班
        喝茶 喝咖啡 吃早饭 吃晚饭 睡觉 休息 散步 拍照 骑自行车 开车 坐地铁 等公共汽车 收拾行李 弹钢琴 拉小提琴
        练习书法 打太极拳 包饺子 洗碗 浇花 修电脑 理发 看病 复习功课 准备考试 聊天 照顾孩子 过生日 锻炼身体
        学做菜 找工作 搬家 滑雪 滑冰""".split()
    ),
    "chore": tuple(
        """洗衣服 打扫房间 做饭 洗碗 浇花 修电脑 收拾行李 照顾孩子 买东西 找工作 打电话 拍照 搬家 写信 订机票 开门
        拿行李 叫出租车 关灯 找钥匙""".split()
    ),
    "move": tuple("坐飞机 坐火车 坐地铁 坐公共汽车 坐船 打车 开车 骑自行车 走路 坐高铁 骑摩托车".split()),
    "got": tuple("买了 卖了 借了 找到了 看见了 带了 需要 想买 想换 丢了 收到了 送给我 想要 弄坏了 修好了".split()),
    "ba": tuple(
        """拿过来 放好 收起来 打开 关上 还给我 送给他 放在桌子上 放在门口 带回家 修好 洗干净 卖掉 扔掉 借给我
        拿走 放进箱子里 搬到楼上 弄丢了 弄坏了 忘在家里了""".split()
    ),
    "spot": tuple(
        "桌子上 椅子下面 门后面 床上 书包里 抽屉里 箱子里 窗户旁边 冰箱里 柜子里 沙发上 车里 墙上 手里 电视旁边".split()
    ),
    "side": tuple("前面 后面 左边 右边 旁边 对面 附近 里面 外面 东边 西边 南边 北边".split()),
    "greet": tuple(
        """你好 您好 早上好 下午好 晚上好 大家好 好久不见 欢迎光临 晚安 再见 明天见 一会儿见 辛苦了 新年快乐
        生日快乐 恭喜恭喜 祝你好运 一路平安 路上小心 保重身体 谢谢 多谢 对不起 没关系 不客气 不好意思 打扰了
        请进 请坐 请稍等 别着急 慢慢来 加油 没问题 当然可以""".split()
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
        """天气 工作 学习 生活 健康 历史 文化 音乐 电影 新闻 经济 环境 交通 教育 科学 艺术 爱情 友谊 时间 将来
        技术 社会 自然 传统 体育 旅行 语言 比赛 考试 价格 服务 质量 计划 经验 习惯 梦想 故事 消息 关系 安全""".split()
    ),
    "think": tuple("觉得 认为 听说 知道 希望 相信 发现 担心 记得 以为 想".split()),
    "ask": tuple("请问 你知道 你能告诉我 麻烦问一下 我想问 劳驾".split()),
    "day": tuple("一 二 三 四 五 六 天".split()),
    "festival": tuple("春节 中秋节 端午节 国庆节 元宵节 清明节 圣诞节 儿童节 教师节 重阳节 劳动节".split()),
    "end": tuple("吗 呢 吧 啊".split()),
    "en": tuple(
        """computer email laptop phone camera meeting project coffee party weekend shopping manager office model
        design report file folder password update message online offline website button screen keyboard printer
        budget deadline schedule ticket hotel pizza salad sandwich video music movie game team boss idea style
        size sale menu bar radio paper table server data code software internet blog podcast user link plan""".split()
    ),
    "event_en": tuple(
        "meeting party game project show course festival interview workshop lunch dinner test match class".split()
    ),
    "paper_en": tuple("report file project plan budget design schedule list paper model summary letter form".split()),
    "thing_en": tuple(
        """computer laptop phone camera printer keyboard file folder password report ticket video website screen
        email server radio model""".split()
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
    "name_en": ENGLISH["name"],
    "place_en": ENGLISH["place"],
}
