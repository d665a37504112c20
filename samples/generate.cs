// Writes the sample corpus of the demo: short journal pages of drovers on the road, in English and in Chinese, and
// conversations about them. Everything comes from the word lists below and a seed: run it again and get the same bytes.
//
//   dotnet run samples/generate.cs samples
//
// english.jsonl            what the base model is made from           {"text"}
// chinese.jsonl            the new domain                             {"source", "target", "category"} and {"text"}
// heldout_chinese.jsonl    pages that neither training set holds      {"text"}
// conversations.jsonl      questions and answers                      {"messages"} in both common spellings
// heldout_conversations.jsonl
// pieces.txt               the words that the tokenizer is expanded by, most frequent first
#:property JsonSerializerIsReflectionEnabledByDefault=true
#:property PublishAot=false
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

string folder = args.Length > 0 ? args[0] : ".";
var pages = new HashSet<string>(StringComparer.Ordinal);
var random = new Random(20261124);

Write("english.jsonl", Unique(1500, EnglishPage).Select(p => new { text = p }));
string[] chinese = [.. Unique(1300, ChinesePage)];
Write("chinese.jsonl", chinese[..1100].Select((page, i) => i % 4 == 0 ? (object)Dictated(page) : new { text = page }));
Write("heldout_chinese.jsonl", chinese[1100..].Select(p => new { text = p }));
object[] talks = [.. Enumerable.Range(0, 700).Select(Conversation)];
Write("conversations.jsonl", talks[..620]);
Write("heldout_conversations.jsonl", talks[620..]);
File.WriteAllText(Path.Combine(folder, "pieces.txt"), string.Join('\n', Pieces()) + "\n");

T Pick<T>(IReadOnlyList<T> list) => list[random.Next(list.Count)];

IEnumerable<string> Unique(int count, Func<string> make)
{
    for (int made = 0; made < count;)
    {
        string page = make();
        if (!pages.Add(page))
            continue;
        made++;
        yield return page;
    }
}

string EnglishPage()
{
    (string name, string he, string his) = Pick(Words.EnglishNames);
    (string place, string next) = (Pick(Words.EnglishPlaces), Pick(Words.EnglishPlaces));
    (string animal, string young) = Pick(Words.EnglishAnimals);
    int head = random.Next(12, 90), lost = random.Next(1, 5);
    string[] middle =
    [
        $"The {Pick(Words.EnglishWeather)} came over the {Pick(Words.EnglishLand)}, and {his} dog {Pick(Words.EnglishDogs)} kept the {animal} together.",
        $"At noon {he} counted {head} {animal} and found that {lost} were missing, so {he} walked back along the {Pick(Words.EnglishLand)}.",
        $"A {Pick(Words.EnglishPeople)} gave {(he == "he" ? "him" : "her")} {Pick(Words.EnglishFood)} and asked for the price of a {young}.",
        $"In the evening {he} slept under a {Pick(Words.EnglishTrees)} near the {Pick(Words.EnglishLand)}, and the {animal} slept too.",
        $"The {Pick(Words.EnglishLand)} was {Pick(Words.EnglishState)}, and the {animal} went slowly.",
        $"{name} said to the {Pick(Words.EnglishPeople)}, \"The road to {next} is {Pick(Words.EnglishState)} this year.\"",
    ];
    random.Shuffle(middle);
    return $"{name} left {place} with {head} {animal} in the {Pick(Words.EnglishSeasons)}. {string.Join(' ', middle[..random.Next(3, 6)])} "
        + $"After {random.Next(2, 12)} days {he} came to {next} and sold the {animal} at the {Pick(Words.EnglishMarkets)}.";
}

string ChinesePage()
{
    string name = Pick(Words.ChineseNames), place = Pick(Words.ChinesePlaces), next = Pick(Words.ChinesePlaces), animal = Pick(Words.ChineseAnimals);
    int head = random.Next(12, 90), lost = random.Next(1, 5);
    string[] middle =
    [
        $"{Pick(Words.ChineseWeather)}从{Pick(Words.ChineseLand)}那边过来，牧羊犬{Pick(Words.ChineseDogs)}把{animal}赶到了一起。",
        $"中午他数了数，一共{head}头{animal}，少了{lost}头，于是他沿着{Pick(Words.ChineseLand)}往回走。",
        $"一位{Pick(Words.ChinesePeople)}给了他{Pick(Words.ChineseFood)}，还问他{animal}卖多少钱。",
        $"晚上他睡在{Pick(Words.ChineseLand)}旁边的{Pick(Words.ChineseTrees)}下面，{animal}也睡着了。",
        $"{Pick(Words.ChineseLand)}上的路很{Pick(Words.ChineseState)}，{animal}走得很慢。",
        $"{name}对{Pick(Words.ChinesePeople)}说：“今年去{next}的路很{Pick(Words.ChineseState)}。”",
    ];
    random.Shuffle(middle);
    return $"{Pick(Words.ChineseSeasons)}，{name}带着{head}头{animal}离开了{place}。{string.Concat(middle[..random.Next(3, 6)])}"
        + $"{random.Next(2, 12)}天以后，他到了{next}，在{Pick(Words.ChineseMarkets)}把{animal}都卖掉了。";
}

object Dictated(string page)
{
    int cut = page.IndexOf('。', StringComparison.Ordinal) + 1;
    return new { source = page[..cut], target = page[cut..], category = "journal" };
}

object Conversation(int index)
{
    string name = Pick(Words.ChineseNames), place = Pick(Words.ChinesePlaces), next = Pick(Words.ChinesePlaces), animal = Pick(Words.ChineseAnimals), season = Pick(Words.ChineseSeasons);
    int head = random.Next(12, 90), days = random.Next(2, 12);
    string told = $"{season}，{name}带着{head}头{animal}离开了{place}，{days}天以后到了{next}。";
    (string Question, string Answer)[] asked =
    [
        ("他带了多少头？", $"他带了{head}头{animal}。"),
        ("他去了哪里？", $"他从{place}去了{next}。"),
        ("路上走了几天？", $"路上走了{days}天。"),
        ("谁赶的牲口？", $"是{name}赶的{animal}。"),
    ];
    random.Shuffle(asked);
    var turns = new List<(string Role, string Content)> { ("user", told + asked[0].Question), ("assistant", asked[0].Answer) };
    if (index % 3 == 0)
        turns.AddRange([("user", asked[1].Question), ("assistant", asked[1].Answer)]);
    if (index % 5 == 0)
        turns.Insert(0, ("system", "你是一位牧人的助手，回答要简短。"));
    return index % 2 == 0
        ? new { messages = turns.Select(t => new { role = t.Role, content = t.Content }).ToArray() }
        : new { messages = turns.Select(t => new { from = t.Role == "user" ? "human" : t.Role, content = t.Content }).ToArray() };
}

IEnumerable<string> Pieces()
{
    string corpus = string.Concat(chinese[..1100]);
    string[] words =
    [
        .. Words.ChineseNames, .. Words.ChinesePlaces, .. Words.ChineseAnimals, .. Words.ChineseWeather, .. Words.ChineseLand, .. Words.ChineseDogs, .. Words.ChinesePeople,
        .. Words.ChineseFood, .. Words.ChineseTrees, .. Words.ChineseState, .. Words.ChineseSeasons, .. Words.ChineseMarkets,
        "牧羊犬", "离开了", "带着", "以后", "多少", "睡着了", "旁边", "下面", "往回走", "中午", "晚上", "今年", "一共", "于是",
    ];
    IEnumerable<string> characters = corpus.Where(c => c > 0x2E7F).Distinct().Select(c => c.ToString());
    return words.Where(w => w.Length > 1).Concat(characters).Distinct()
        .OrderByDescending(p => p.Length == 1).ThenByDescending(p => corpus.Split(p).Length).ThenBy(p => p, StringComparer.Ordinal);
}

void Write(string file, IEnumerable<object> lines)
{
    var options = new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    File.WriteAllText(Path.Combine(folder, file), string.Concat(lines.Select(l => JsonSerializer.Serialize(l, options) + "\n")), new UTF8Encoding(false));
}

static class Words
{
    public static readonly (string, string, string)[] EnglishNames = [("Anna", "she", "her"), ("Ewan", "he", "his"), ("Morag", "she", "her"), ("Tomas", "he", "his"), ("Ilse", "she", "her"), ("Rafael", "he", "his"), ("Greta", "she", "her"), ("Duncan", "he", "his"), ("Old Peter", "he", "his"), ("Young Mary", "she", "her")];
    public static readonly string[] EnglishPlaces = ["Falkirk", "the island", "Crieff", "Black Mountain", "the high farm", "Stone Bridge", "the western glen", "Amulree", "the salt coast", "Long Meadow"];
    public static readonly (string, string)[] EnglishAnimals = [("sheep", "lamb"), ("cattle", "calf"), ("goats", "kid"), ("geese", "gosling"), ("horses", "foal"), ("pigs", "piglet")];
    public static readonly string[] EnglishWeather = ["rain", "snow", "wind", "fog", "warm sun", "thunder", "first frost", "hail"];
    public static readonly string[] EnglishLand = ["hill", "river", "pass", "valley", "moor", "bridge", "old wall", "lake", "forest road", "ford"];
    public static readonly string[] EnglishDogs = ["Bran", "Tess", "Moss", "Nell", "Glen", "Fly"];
    public static readonly string[] EnglishPeople = ["farmer", "miller", "ferryman", "blacksmith", "shepherd", "toll keeper", "innkeeper", "weaver"];
    public static readonly string[] EnglishFood = ["oat bread", "cheese and ale", "a bowl of soup", "two apples", "salted fish", "hot tea", "a warm blanket"];
    public static readonly string[] EnglishTrees = ["pine", "birch", "rowan", "great oak", "willow", "hawthorn"];
    public static readonly string[] EnglishState = ["steep", "muddy", "dry and hard", "dangerous", "open", "full of stones", "quiet"];
    public static readonly string[] EnglishSeasons = ["spring", "early summer", "late summer", "autumn", "first week of October", "month of May"];
    public static readonly string[] EnglishMarkets = ["great tryst", "cattle market", "autumn fair", "town square", "harbour market"];
    public static readonly string[] ChineseNames = ["老王", "阿牛", "小李", "张三", "巴特尔", "赵大叔", "马六", "林家二哥"];
    public static readonly string[] ChinesePlaces = ["草原", "黄河边", "石桥镇", "青山村", "白云寺", "北方牧场", "大水湾", "沙井子", "南山口", "柳树营"];
    public static readonly string[] ChineseAnimals = ["山羊", "绵羊", "黄牛", "骆驼", "马", "毛驴"];
    public static readonly string[] ChineseWeather = ["大雨", "风雪", "沙尘", "浓雾", "雷声", "冷风", "暖阳"];
    public static readonly string[] ChineseLand = ["山坡", "河边", "山口", "草地", "小桥", "城墙", "湖边", "树林", "渡口", "戈壁"];
    public static readonly string[] ChineseDogs = ["黑豹", "小白", "阿黄", "闪电", "花花"];
    public static readonly string[] ChinesePeople = ["农夫", "磨坊主", "船夫", "铁匠", "牧人", "店主", "老奶奶", "织布的姑娘"];
    public static readonly string[] ChineseFood = ["热茶", "馒头", "一碗面", "羊肉汤", "两个苹果", "奶酪", "毛毯"];
    public static readonly string[] ChineseTrees = ["松树", "柳树", "杨树", "老槐树", "胡杨"];
    public static readonly string[] ChineseState = ["陡", "泥泞", "安静", "危险", "宽阔", "难走"];
    public static readonly string[] ChineseSeasons = ["春天", "初夏", "夏末", "秋天", "十月初", "五月"];
    public static readonly string[] ChineseMarkets = ["集市上", "牛市", "秋天的庙会上", "城里的广场上", "码头上"];
}
