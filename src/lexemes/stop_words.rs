//! Words so common that they tell nothing about a text. Languages without a list keep all their words: the inverse
//! document frequency already makes common ones weigh little.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::Language;

type Words = LazyLock<HashSet<&'static str>>;

/// The languages of Latin letters that have a list.
pub const LATIN: [Language; 14] = [
    Language::English,
    Language::German,
    Language::French,
    Language::Spanish,
    Language::Italian,
    Language::Portuguese,
    Language::Dutch,
    Language::Danish,
    Language::Finnish,
    Language::Hungarian,
    Language::Norwegian,
    Language::Romanian,
    Language::Swedish,
    Language::Turkish,
];

/// The stop words of a language, in lower case.
pub fn of(language: Language) -> &'static HashSet<&'static str> {
    match language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
        Language::French => &FRENCH,
        Language::Spanish => &SPANISH,
        Language::Italian => &ITALIAN,
        Language::Portuguese => &PORTUGUESE,
        Language::Dutch => &DUTCH,
        Language::Danish => &DANISH,
        Language::Finnish => &FINNISH,
        Language::Hungarian => &HUNGARIAN,
        Language::Norwegian => &NORWEGIAN,
        Language::Romanian => &ROMANIAN,
        Language::Russian => &RUSSIAN,
        Language::Swedish => &SWEDISH,
        Language::Turkish => &TURKISH,
        _ => &NONE,
    }
}

static NONE: Words = LazyLock::new(HashSet::new);

static ENGLISH: Words = LazyLock::new(|| {
    words(
        "a about above after again against all also am an and any are aren't as at be because been before being below \
         between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each few \
         for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself him \
         himself his how how's i i'd i'll i'm i've if in into is isn't it it's its itself just let's me more most mustn't \
         my myself no nor not of off on once only or other ought our ours ourselves out over own same shan't she she'd \
         she'll she's should shouldn't so some such than that that's the their theirs them themselves then there there's \
         these they they'd they'll they're they've this those through to too under until up very was wasn't we we'd we'll \
         we're we've were weren't what what's when when's where where's which while who who's whom why why's will with \
         won't would wouldn't you you'd you'll you're you've your yours yourself yourselves",
    )
});

static GERMAN: Words = LazyLock::new(|| {
    words(
        "aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei bin \
         bis bist da damit dann das dass daß dasselbe dazu dein deine deinem deinen deiner dem demselben den denn denselben \
         der derer derselbe derselben des desselben dessen dich die dies diese dieselbe dieselben diesem diesen dieser \
         dieses dir doch dort du durch ein eine einem einen einer eines einig einige einigem einigen einiger einiges einmal \
         er es etwas euch euer eure eurem euren eurer eures für gegen gewesen hab habe haben hat hatte hatten hier hin \
         hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer ihres im in indem ins ist jede jedem jeden jeder jedes jene \
         jenem jenen jener jenes jetzt kann kein keine keinem keinen keiner keines können könnte machen man manche manchem \
         manchen mancher manches mein meine meinem meinen meiner meines mich mir mit muss musste nach nicht nichts noch nun \
         nur ob oder ohne sehr sein seine seinem seinen seiner seines selbst sich sie sind so solche solchem solchen solcher \
         solches soll sollte sondern sonst über um und uns unser unsere unserem unseren unserer unter viel vom von vor \
         während war waren warst was weg weil weiter welche welchem welchen welcher welches wenn werde werden wie wieder will \
         wir wird wirst wo wollen wollte würde würden zu zum zur zwar zwischen",
    )
});

static FRENCH: Words = LazyLock::new(|| {
    words(
        "à ai aie ait as au aura aux avait avec avez avoir avons c ce ceci cela ces cet cette d dans de des du elle elles en \
         es est et été être eu eux il ils j je l la le les leur leurs lui m ma mais me même mes moi mon n ne nos notre nous on \
         ont ou où par pas pour qu que quel quelle quelles quels qui s sa sans se sera ses si soit son sont sur t ta te tes \
         toi ton tu un une vos votre vous y",
    )
});

static SPANISH: Words = LazyLock::new(|| {
    words(
        "a al algo algunas algunos ante antes aquel aquella así aún aunque cada como con contra cual cuando de del desde \
         donde durante e el él ella ellas ellos en entre era eran es esa esas ese eso esos esta está están estar estas este \
         esto estos fue fueron ha había han hasta hay he la las le les lo los más me mi mis mucho muchos muy nada ni no nos \
         nosotros nuestra nuestro o os otra otras otro otros para pero poco por porque que qué quien quienes se sea ser si sí \
         sido sin sobre son su sus también tan tanto te tiene tienen todo todos tu tus un una uno unos y ya yo",
    )
});

static ITALIAN: Words = LazyLock::new(|| {
    words(
        "a ad agli ai al alla alle allo anche avere aveva c che chi ci ciò col come con contro cui da dagli dai dal dalla \
         dalle dallo degli dei del dell della delle dello di dove e è ed egli era erano essere fra gli ha hai hanno ho i il in \
         io l la le lei li lo loro lui ma me mi mia mie mio nè né negli nei nel nella nelle nello noi non nostra nostro o per \
         perché più quale quando quanto quella quelle quelli quello questa queste questi questo sarà se sé sei si sia sono su \
         sua sue sugli sui sul sulla sulle sullo suo suoi tra tu tua tuo tutti tutto un una uno vi voi",
    )
});

static PORTUGUESE: Words = LazyLock::new(|| {
    words(
        "a à ao aos aquela aquelas aquele aqueles aquilo as às até com como da das de dela delas dele deles depois do dos e é \
         ela elas ele eles em entre era eram essa essas esse esses esta está estas este estes eu foi foram há isso isto já \
         lhe lhes mais mas me mesmo meu meus minha muito na não nas nem no nos nós nossa nosso num numa o os ou para pela \
         pelas pelo pelos por quando que quem são se seja sem ser será seu seus só sua suas também te tem têm teu tu tua um \
         uma umas uns você vocês vos",
    )
});

static DUTCH: Words = LazyLock::new(|| {
    words(
        "aan al alles als altijd andere ben bij daar dan dat de der deze die dit doch doen door dus een eens en er ge geen \
         geweest haar had heb hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je kan kon kunnen maar me meer \
         men met mij mijn moet na naar niet niets nog nu of om omdat onder ons ook op over reeds te tegen toch toen tot u uit \
         uw van veel voor want waren was wat werd wezen wie wil worden wordt zal ze zelf zich zij zijn zo zonder zou",
    )
});

static DANISH: Words = LazyLock::new(|| {
    words(
        "af alle alt anden at blev blive bliver da de dem den denne der deres det dette dig din disse dog du efter \
         eller en end er et for fra ham han hans har havde have hende hendes her hos hun hvad hvis hvor i ikke ind \
         jeg jer jo kan kunne man mange med meget men mig min mine mit mod ned noget nogle nu når og også om op os \
         over på selv sig sin sine sit skal skulle som sådan thi til ud under var vi vil ville vor være været",
    )
});

static FINNISH: Words = LazyLock::new(|| {
    words(
        "ei eivät emme en et ette että he heidän heitä hän hänen häntä ja joka jos jotka jotta kanssa keiden keitä \
         ketkä koska kuin kuka kun me mehän meidän mikä mukaan mutta myös minun minä mitkä mitä ne niiden niin niitä \
         no noin nuo nyt näiden näitä nämä oli olivat olla olen olet olemme on ovat poikki se sekä sen siitä sillä \
         sinä sitä tai te teidän tuo tämä tämän tätä vaan vai vaikka voi ole ollut",
    )
});

static HUNGARIAN: Words = LazyLock::new(|| {
    words(
        "a abban ahhoz ahogy ahol aki akik akkor alatt amely amelyek amelyet ami amit az azok azon azt azután be \
         belül csak de e egy egyes egyik előtt el elő és ez ezek ezen ezért ezt fel felé ha hanem hogy hogyan igen \
         illetve ill is ison itt jó kell ki le legalább lehet lenne lesz lett maga majd már más meg még mellett mert \
         mi mind minden mint mintha mit mivel most nagyon ne nem nincs ő ők olyan ott össze pedig s saját sem semmi \
         sok során szemben szerint számára talán tehát teljes több úgy új után utána vagy vagyok való valami van \
         vannak vele viszont volna volt voltak által",
    )
});

static NORWEGIAN: Words = LazyLock::new(|| {
    words(
        "alle at av bare begge ble blei bli blir da de deg dei dem den denne der deres det dette di din disse ditt du \
         eg ein eit eller en enn er et etter for fordi fra før ha hadde han hans har henne hennes her hun hva hvem \
         hver hvis hvor hvordan hvorfor i ikke ikkje inn ja jeg kan kom kun kunne man mange me med meg men mi min \
         mine mitt mot mye ned noe noen nå når og også om opp oss over på selv seg si sia sin sine sitt skal skulle \
         slik som så til um under upp ut uten var vart ved vi vil ville vår være vært å",
    )
});

static ROMANIAN: Words = LazyLock::new(|| {
    words(
        "a acea aceasta această aceea acel acele acest acesta aceste acestea acești acestui ai aici al ale alt alte \
         am ar are as așa asupra atunci au avea avem avut ca că care cât ce cea cei cel cele celor chiar cine cu cum \
         când da dacă dar de deci deja din dintre doar după ea ei el ele era este eu face fără fi fie fiind foarte \
         fost iar ii îi îl în încă înainte între la le li lor lui mai mult multe mulți ne nici nu o ori pe pentru \
         peste poate prin s sa sale sau se si și sub sunt să te tot toate toți tu un una unde unei unele unor unui va \
         vor",
    )
});

static RUSSIAN: Words = LazyLock::new(|| {
    words(
        "а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее её \
         ей ему если есть еще ещё же за здесь и из или им их к как какая какой когда кто ли либо между меня мне много \
         может мой моя мы на над надо нас не него нее неё ней нет ни них но ну о об однако он она они оно от перед по \
         под после потом потому почти при про с сам свою себе себя со так также такой там тем теперь то тогда того \
         тоже той только том тот тут ты у уже хотя чего чей чем через что чтобы эта эти этого этой этом этот эту я",
    )
});

static SWEDISH: Words = LazyLock::new(|| {
    words(
        "alla allt att av blev bli blir de dem den denna deras dess dessa det detta dig din dina ditt du där då efter \
         ej eller en er era ett från för ha hade han hans har henne hennes hon honom hur här i icke ingen inom inte \
         jag ju kan kunde man med mellan men mig min mina mitt mot mycket många ni nu när någon något några och om \
         oss på samma sedan sig sin sina sitta själv ska skulle som så sådan till under upp ut utan vad var vara \
         varför varit varje vars vart vem vi vid vilka vilken vilket vår våra är även åt över",
    )
});

static TURKISH: Words = LazyLock::new(|| {
    words(
        "acaba ama ancak aslında az bana bazı belki ben beni benim beri bile bir biri birkaç biz bize bizi bizim bu \
         buna bunda bundan bunlar bunları bunların bunu bunun burada çok çünkü da daha de defa değil diğer diye \
         dolayı eden en gibi göre ha halen hâlâ hem henüz hep hepsi her hiç için ile ilgili ise işte kadar karşın \
         kendi kez ki kim kime kimse mı mi mu mü nasıl ne neden nedenle nerede niçin niye o olan olarak oldu olduğu \
         olduğunu ona ondan onlar onları onların onu onun oysa öyle pek rağmen sanki sen siz sizin son sonra şey şu \
         şöyle tarafından tüm üzere var ve veya ya yani yerine yine yoksa zaten",
    )
});

fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_whitespace().collect()
}
