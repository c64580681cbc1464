"""Texts on which tokenizers go wrong, and a generated multilingual corpus."""

import random
import unicodedata

# Words that are seen in training together; every list is one language or script.
WORDS = (
    "a the cat dog walks runs over on under grass water bridge light camera slowly moving city street night morning realistic "
    "style beautiful mountains river child smiling red green blue yellow background moves from left to right it's don't we're",
    "der die das eine Katze läuft über Straße schöne große Häuser Fluß grün Mädchen für können Wäsche Übung Größe",
    "le la une chat été forêt où déjà garçon français île cœur naïve château lumière fenêtre très belle",
    "el niño corre mañana señor corazón árbol música rápido también después ¿qué? ¡hola! canción pequeño",
    "bir kedi koşuyor İstanbul ışık güzel çocuk şehir değil büyük küçük yağmur ağaç",
    "кошка идёт по траве красивый город ночью река большой дом быстро человек улыбается море свет зима",
    "η γάτα περπατά στο γρασίδι όμορφη πόλη νύχτα θάλασσα φως μεγάλος δρόμος ΟΔΥΣΣΕΥΣ λόγος",
    "一只 小狗 在 草地上 奔跑 美丽 城市 夜晚 河流 现实 风格 镜头 慢慢 移动 红色 背景 的 了 是",
    "猫が 草の上を 歩く 美しい 都市 夜 カメラ ゆっくり 動く ひかり です ます",
    "고양이가 풀밭을 걷는다 아름다운 도시 밤 카메라 천천히 움직인다 빛",
    "قطة تمشي على العشب مدينة جميلة ليل نهر ضوء كبير طفل يبتسم بسرعة",
    "חתול הולך על הדשא עיר יפה לילה נהר אור גדול",
    "बिल्ली घास पर चलती है सुंदर शहर रात नदी प्रकाश बच्चा मुस्कुराता कैमरा धीरे",
    "แมว เดิน บน หญ้า เมือง สวย กลางคืน แม่น้ำ แสง",
    "con mèo đi trên cỏ thành phố đẹp ban đêm sông ánh sáng người trẻ",
    "😀 👍 👍🏽 👩‍👩‍👧‍👦 ❤️ 🇩🇪 🏳️‍🌈 🚀 ✨ 🐱",
    "1 2 3 10 24 60 1080p 4k 2024 3.5 50% x2 v1.0",
)
MARKS = (".", ",", "!", "?", ":", ";", " -", "…", "。", "，", "؟", "।", ")", "\n", "\n\n", "\t", "  ")
ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sh sl st t th tr v w z".split()
VOWELS = "a e i o u ai ea ee ie oa oo ou ä ö é ı".split()
CODAS = "b ck d l ll m n nd ng nt p r rd s ss st t th x".split() + [""] * 8
CYRILLIC = ("ба во ге ди жу зы ка ле ми но пу ры са те фи хо цу чи ша ще юн яр").split()


def made_up_word(rng):
    if rng.random() < 0.2:
        return "".join(rng.choice(CYRILLIC) for _ in range(rng.randint(2, 4)))
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(1, 3)))
    return word.capitalize() if rng.random() < 0.2 else word.upper() if rng.random() < 0.04 else word


def sentence(rng, invented):
    words = rng.choice(WORDS).split()
    parts = []
    for _ in range(rng.randint(4, 14)):
        draw = rng.random()
        parts.append(rng.choice(invented) if draw < 0.35 else rng.choice(rng.choice(WORDS).split()) if draw < 0.45 else rng.choice(words))
    return " ".join(parts) + rng.choice(MARKS)


def corpus(seed, lines):
    """Sentences of known and invented words; invented ones recur, the first of them most often."""
    rng = random.Random(seed)
    invented = [made_up_word(rng) for _ in range(2500)]
    common = [word for i, word in enumerate(invented) for _ in range(1 + 40 // (i + 1))]
    return [sentence(rng, common) for _ in range(lines)]


def long_prompt(words):
    """A prompt of exactly so many words separated by white space."""
    rng = random.Random(2000)
    vocabulary = WORDS[0].split() * 20 + [word for line in WORDS for word in line.split()] + [made_up_word(rng) for _ in range(60)]
    return " ".join(rng.choice(vocabulary) for _ in range(words))


def hard_texts():
    accents = "Crème brûlée, naïve café, Ångström, Việt Nam, ñandú"
    return [
        "",
        " ",
        "   ",
        "\n",
        "A cat walks on the grass, realistic style.",
        "A red ball moves from left to right on a black background.",
        "a video of a blue square rising upwards over a gray background",
        # scripts
        "一只小狗在草地上奔跑。", "猫が草の上を歩く。カメラ、ゆっくり!", "고양이가 풀밭을 걷는다.", "قِطَّةٌ تَمْشِي عَلَى العُشْبِ، مدينة جميلة؟", "חתול הולך על הדשא",
        "बिल्ली घास पर चलती है। क्षत्रिय कार्य", "แมวเดินบนหญ้า สวยมาก", "Кошка идёт по траве, Ёлка й ѝ.", "Η γάτα περπατά. ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ Σ σ ς ΑΣ. ΑΣ",
        "Mixed 中文 and English und Deutsch и русский و العربية 1st 2nd", "ქართული ԱԲԳ աբգ ᏣᎳᎩ ꮳꮃ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐐀𐐨", "İstanbul ıışık IĞDIR i̇ İ",
        "Straße ẞ ß STRASSE ﬁ ﬂ ﬃ ﬀ", "ǅ ǆ Ǆ ŉ ΐ ΰ և",
        # emoji
        "👩‍👩‍👧‍👦 family, 👍🏽 skin tone, 🇩🇪🇫🇷 flags, 🏳️‍🌈, 1️⃣ keycap, ❤️ ❤ ☺︎", "😀😀😀😀 🤷🏿‍♀️🤷🏿‍♀️ 🧑🏻‍🚀", "text😀text 😀 😀text",
        # composed and decomposed
        accents, unicodedata.normalize("NFD", accents), unicodedata.normalize("NFKD", "Ⅷ ﬁ ½ Å"), "e\u0301 é e\u0323\u0302 a\u0302\u0323 q\u0307\u0323 q\u0323\u0307",
        "\u0301 starts with a mark; \u0e33 \u0f73 \u0344 \u2126 \u212b \uf900 \u1100\u1161\u11a8 \uac01", "a\u0300\u0301\u0302\u0303\u0304b z̷a̵l̶g̴o̸",
        # digits and other numbers
        "1 12 123 1234 12345 123456 1234567 0000000", "3.14159 1,000,000 10:30 2024-05-06 50% $5 1080p60 x264 v2", "Ⅷ ⅷ ½ ¾ ² ³ ₂ ① ⑳ ㊿ ㈠ 〇 ٣ ٤٥٦٧ ९८७६ ๑๒๓๔ 𝟗𝟘𝟙 ൰ ௧௨௩",
        "a1b2c3 1a 2b ½a a½ Ⅷth",
        # contractions
        "it's IT'S It'S we're WE'RE 'Re I'll I'LL they've they'Ve I'm I'M he'd he'D don't DON'T 's 'S 't", "'ſ it'ſ 'ſ's 'ſx 'ﬆx rock'n'roll ''s '''ll 'lll 'dd 'reve",
        "\u212a K k \u212b Å it\u2019s don\u2019t we\u2019RE", "l'été d'accord O'Brien 's's's 'sa 'ta 'm1 'd😀",
        # white space
        "line one\nline two\n\nline three\r\nline four\r\n\r\n\nend", "tab\tand\t\ttabs \t mixed \t\n \n  x", "trailing spaces   ", "   leading spaces", "many     spaces    between",
        "nbsp\u00a0between\u00a0\u00a0words \u00a0 end\u00a0", "ideographic\u3000space\u3000\u3000twice", "thin\u2009hair\u200aem\u2003figure\u2007ogham\u1680nnbsp\u202fmath\u205f.",
        "line\u2028separator\u2029paragraph\u0085nel\u000bvt\u000cff\u001cfs\u001fus", "\n\n\n", " \n \n ", "\r", "\r\r\n\n\r", "x \n y", "x  \n\n  y", "!\n\n!\r\n?", "a \u3000\n b", "end\n ",
        # invisible
        "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060wj", "soft\u00adhyphen \u061c\u200e\u200fmarks\u202atext\u202c", "\ufeffstarts with a byte order mark", "\u180emongolian\u180e",
        "control\u0001\u0002\u0007\u0008\u001b[0m\u007f\u0080\u009f end", "null\u0000inside", "\ufffd replacement \ufffd\ufffd", "private \ue000\uf8ff\U000f0000\U0010fffd use", "unassigned \u0378\u0379 \U000e0001\U000e0041 \ufffe\uffff",
        "variation \ufe0e\ufe0f \U000e0100 selectors",
        # punctuation
        "!!! ??? ... --- ___ *** ((( ))) [[[ ]]] {{{ }}}", "a.b,c;d:e-f_g/h\\i|j", "«quotes» „Gänse“ ‘single’ “double” ‹angle› 「日本」『二重』", "price: €5, £6, ¥7, ₹8, ₿9 + − × ÷ = ≠ ≤ ∞ √ ∑ ∫",
        "http://www.example.com/path?query=1&x=%20#frag user@example.org", "C++ C# F# .NET <b>html</b> &amp; &lt; `code` ~/path", "^_^ :-) ;) <3 ¯\\_(ツ)_/¯", "_under_score_ a_b __init__ -dash -- end–dash em—dash",
        " !a !b ¿Qué? ¡Hola! #tag @user $x", "\"quoted\" 'single' `tick` ´acute´ ¨ ^ ~ ª º ʰ ʷ",
        # special tokens inside the text
        "<|begin_of_text|>", "hello<|eot_id|>world", "hello <|eot_id|> world", "<|eot_id|><|eot_id|>", "a <|start_header_id|>user<|end_header_id|>\n\nb<|end_of_text|>", "<|eot_id", "<|eot_id|", "|eot_id|>", "<|EOT_ID|>",
        "<pad><unk><image> <PAD>", "x<|endoftext|>y", "x <|endoftext|> y", "<|startoftext|>x<|endoftext|>", "<|STARTOFTEXT|> upper <|EndOfText|>", "<|startoftext|><|startoftext|>", "<|start of text|>", "é<|endoftext|>É", "<|eot_id|> \n<|eot_id|>\n\n x",
        # case
        "UPPER lower MiXeD CamelCase snake_case SCREAMING_SNAKE", "ÀÉÎÕÜ ÆØÅ ŁÓDŹ ÇŞĞ ЁЖ ΩΨ ԱԲ", "ᾈ ᾳ ΑΙ Ⓐ ⓐ Ａ ａ 𝐀 𝐚 ℌ ℵ K",
        # length
        "a" * 300, "ab" * 100, "的" * 60, "! " * 50, "9" * 50, " " * 100 + "x", "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
        long_prompt(2000),
    ]
