// Instructions to begin with.  Labels are translated, instructions are what the model was trained on: Chinese and English.

export const EXAMPLES = {
  emotion: {
    happy: "Speak with a happy, cheerful emotion.",
    sad: "Speak in a sad, low voice.",
    angry: "Speak in an angry tone.",
    surprised: "Speak with surprise.",
    calm: "Speak calmly and gently.",
  },
  dialect: {
    cantonese: "用粤语说这句话",
    sichuan: "用四川话说这句话",
    shanghai: "用上海话说这句话",
    tianjin: "用天津话说这句话",
    zhengzhou: "用郑州话说这句话",
    changsha: "用长沙话说这句话",
  },
  pace: {
    fast: "Speak very fast.",
    slow: "Speak very slowly.",
    loud: "Speak loudly.",
    soft: "Speak softly.",
  },
  role: {
    robot: "Speak like a robot.",
    newsreader: "Speak like a newsreader.",
    storyteller: "Speak like somebody who tells a child a story.",
    detective: "Speak as a mysterious, elegant detective.",
  },
};
