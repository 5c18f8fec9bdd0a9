"""The word lists of the English text generator, each named after the field it fills.

An entry may hold fields of its own.  The lists `do`, `does`, `doing`, `did` and `done` are the
same actions in five verb forms, so templates can keep tense and person agreement right.
"""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


LISTS: dict[str, tuple[str, ...]] = {
    "adj": tuple(
        """old young little happy quiet brown green heavy clever gentle hungry yellow big small tall short
        red blue black white bright dark warm cold hot cool new clean dirty soft hard loud strong weak brave
        kind busy lazy tired angry sad lucky proud simple strange famous lovely pretty rich poor fresh sweet
        bitter empty full deep wide narrow round sharp smooth wet dry early late friendly lonely careful
        golden silver wooden broken hidden perfect secret ancient modern local foreign common special
        wonderful beautiful enormous tiny cheerful thoughtful comfortable""".split()
    ),
    "noun": tuple(
        """man woman child teacher doctor farmer river garden window table mountain village horse kitchen market
        bridge house street city town car train boat ship plane bus road school church office shop store hotel
        station airport library museum hospital theater restaurant room door wall floor roof chair bed lamp
        clock phone computer camera picture letter book paper story song game ball box bag bottle cup plate
        knife spoon bowl apple orange banana cherry bread cheese butter sugar water coffee milk dinner
        breakfast lunch dog cat bird fish cow sheep pig rabbit mouse lion tiger bear wolf fox monkey elephant
        tree flower grass leaf forest field hill valley lake island beach ocean sea sky cloud star moon sun
        rain snow wind storm fire stone boy girl baby mother father brother sister son daughter uncle aunt
        friend neighbor king queen prince soldier sailor driver pilot writer singer dancer painter student
        lawyer engineer manager captain nurse cook baker guest stranger family team company country nation
        language question answer problem idea reason number machine engine wheel bell key ring coat hat shirt
        shoe dress glove blanket pillow mirror candle newspaper magazine ticket message meeting journey
        morning evening afternoon night summer winter spring autumn""".split()
    ),
    "verb": tuple(
        """walks runs looks jumps moves travels sleeps waits turns listens sits stands falls climbs swims flies
        drives rides dances sings works plays stays lives hides stops points shouts laughs smiles cries
        whispers rests wanders marches hurries""".split()
    ),
    "prep": tuple(
        """near behind under over toward beside around through above below across along against inside outside
        before after past without beyond""".split()
    ),
    "past": tuple(
        """found lost bought sold made broke opened closed painted cleaned washed carried dropped moved pushed
        pulled watched heard saw liked loved hated wanted needed remembered forgot left took gave kept built
        used followed helped called visited noticed chose brought caught held showed sent cut threw
        ordered shared borrowed covered fixed touched""".split()
    ),
    "tverb": tuple(
        """find lose buy sell make break open close paint clean wash carry drop move push pull watch hear see like
        love hate want need remember forget leave take give keep build use follow help call visit notice
        choose bring catch hold show send cut throw order share borrow cover fix touch read write learn
        understand explain describe finish start change check""".split()
    ),
    "ving": tuple(
        """walking running looking waiting talking reading writing singing dancing cooking eating drinking
        sleeping working playing driving swimming thinking laughing learning teaching building painting
        cleaning fishing shopping traveling listening leaving coming going""".split()
    ),
    "adv": tuple(
        """slowly quickly quietly loudly carefully happily sadly easily suddenly finally usually always never
        often sometimes today tomorrow yesterday tonight again together alone early late soon now
        outside inside upstairs everywhere here there""".split()
    ),
    "name": tuple(
        """John Mary Peter Anna David Sarah Michael Laura James Emma Robert Alice Thomas Julia George Helen
        Daniel Kate Paul Lucy Henry Susan Martin Nancy Frank Rose Jack Jane Simon Linda Mark Carol Alex Diana
        Charles Bella Benjamin Claire Maria Carlos Ivan Olga Yuki Kenji Ahmed Fatima
        Omar Leila Sofia Marco Luca Elena Pierre Sophie Hans Greta Ingrid Lars Nina Igor Pablo Rosa Diego Lucia Miguel
        Priya Ravi Anita Kim Victor Oscar Hugo Grace Ruth Samuel Adam Eve Noah Oliver Amelia Jacob Hannah Leo Max Ella
        Patrick Brian Kevin Steven Edward William Elizabeth Margaret Barbara Jennifer Angela Teresa Monica""".split()
    ),
    "place": tuple(
        """London Paris Berlin China Japan America England France Germany India Canada Africa Europe Asia
        Australia Boston Chicago Texas California Tokyo Rome Spain Italy Mexico Russia Korea""".split()
    ),
    "day": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "month": tuple("January February March April May June July August September October November December".split()),
    "sub": tuple("I you we they".split()),
    "sub3": tuple("he she it".split()),
    "obj": tuple("me you him her us them it".split()),
    "poss": tuple("my your his her our their".split()),
    "det": tuple("the a this that the the my your his her our their every another".split()),
    "much": tuple("very really quite so too rather almost".split()),
    "when": (
        "today",
        "tomorrow",
        "yesterday",
        "tonight",
        "this morning",
        "this evening",
        "last night",
        "last week",
        "next week",
        "next year",
        "every day",
        "right now",
        "in the morning",
        "in the afternoon",
        "at night",
        "after dinner",
        "before lunch",
        "a long time ago",
        "in a few minutes",
        "at the end of the day",
    ),
    "where": (
        "at home",
        "in the garden",
        "in the kitchen",
        "at the station",
        "near the river",
        "at school",
        "in the city",
        "by the window",
        "on the table",
        "under the bridge",
        "behind the house",
        "in the middle of the street",
        "on the way home",
        "at the office",
        "in the park",
        "on the beach",
        "next to the door",
        "over there",
    ),
    "wh": tuple("what where when why how who".split()),
    "modal": tuple("can could will would should must may might".split()),
    "polite": ("please", "thank you", "excuse me", "of course", "I am sorry", "no problem", "you are welcome"),
    "greet": (
        "good morning",
        "good afternoon",
        "good evening",
        "good night",
        "hello",
        "hi",
        "hello there",
        "welcome",
        "welcome back",
        "goodbye",
        "see you later",
        "see you soon",
        "see you tomorrow",
        "take care",
        "how do you do",
    ),
    "feel": tuple(
        """fine good great well happy sad tired hungry thirsty sorry sure ready afraid glad angry sick
        better worse busy free late early right wrong""".split()
    ),
    "thing": tuple(
        """music weather time money work food news help love life peace history science art business health
        information water air light sound speech voice language""".split()
    ),
}

_IRREGULAR = {
    line.split()[0]: tuple(line.split())
    for line in """be is being was been
have has having had had
do does doing did done
go goes going went gone
make makes making made made
take takes taking took taken
get gets getting got gotten
give gives giving gave given
bring brings bringing brought brought
buy buys buying bought bought
think thinks thinking thought thought
write writes writing wrote written
read reads reading read read
speak speaks speaking spoke spoken
tell tells telling told told
sell sells selling sold sold
send sends sending sent sent
spend spends spending spent spent
lend lends lending lent lent
find finds finding found found
lose loses losing lost lost
leave leaves leaving left left
meet meets meeting met met
pay pays paying paid paid
put puts putting put put
cut cuts cutting cut cut
drive drives driving drove driven
ride rides riding rode ridden
eat eats eating ate eaten
drink drinks drinking drank drunk
wear wears wearing wore worn
sing sings singing sang sung
swim swims swimming swam swum
run runs running ran run
feel feels feeling felt felt
hurt hurts hurting hurt hurt
drop drops dropping dropped dropped
see sees seeing saw seen
hear hears hearing heard heard
feed feeds feeding fed fed
catch catches catching caught caught
teach teaches teaching taught taught
build builds building built built
break breaks breaking broke broken
forget forgets forgetting forgot forgotten
sleep sleeps sleeping slept slept
choose chooses choosing chose chosen
grow grows growing grew grown
throw throws throwing threw thrown
fly flies flying flew flown
hang hangs hanging hung hung
set sets setting set set
plan plans planning planned planned
stop stops stopping stopped stopped
wrap wraps wrapping wrapped wrapped
win wins winning won won
show shows showing showed shown
lie lies lying lay lain""".splitlines()
}


def verb_forms(phrase: str) -> tuple[str, str, str, str, str]:
    """Conjugate the first word of a phrase: base, third person, -ing form, past and participle."""
    verb, _, rest = phrase.partition(" ")
    if verb in _IRREGULAR:
        words = _IRREGULAR[verb]
    else:
        soft = verb[:-1] + "i" if verb.endswith("y") and verb[-2] not in "aeiou" else verb.removesuffix("e")
        third = verb + "s" if not verb.endswith(("s", "sh", "ch", "x")) and soft[-1] != "i" else soft + "es"
        words = (verb, third, f"{verb.removesuffix('e')}ing", f"{soft}ed", f"{soft}ed")
    base, third, ing, past, done = (f"{word} {rest}".rstrip() for word in words)
    return base, third, ing, past, done


# What people do all day; the first word is conjugated.
ACTIONS = _lines("""
buy some {food}
buy {poss} train ticket
buy a new {item}
cook {food} for {poss} {relative}
make {food} with {food}
make a cup of {drink}
drink a glass of {drink}
eat {food} for {meal}
order {dish} and {drink}
have {meal} with {person}
have {meal} at home
bake a cake for {name}
wash the dishes
wash {poss} {bodyparts}
clean the {room}
paint the {room}
tidy up the {room}
water the flowers
feed the {animals}
walk the dog
call {person}
call {poss} {relative} on the phone
answer the phone
leave a message for {person}
send {person} a message
send the {document} to {person}
write a {document}
write an email to {person}
read the {document}
read a book about {topic}
sign the {document}
print the {document}
look for {poss} {item}
look after {poss} {relative}
look up the address
find {poss} {item}
lose {poss} {item}
forget {poss} {item}
leave {poss} {item} at the {building}
put the {item} in the {room}
put on {poss} {garment}
take off {poss} {garment}
try on the {color} {garment}
wear a {color} {garment}
wear {poss} new {clothes}
pack {poss} {clothes}
wash {poss} {clothes}
pick up {poss} {relative} from the {building}
pick up the {document}
drop off the {clothes}
turn on the lights
turn off the computer
turn left at the {building}
fill out the form
work at the {building}
work as a {job}
work on the {document}
finish the {document}
start a new job
stop at the {building}
meet {person} at the {building}
meet {person} for {drink}
visit {poss} {relative}
visit {person} in {city}
go to the {building}
go to the {building} by {transport}
go to {city} by {transport}
go to bed early
go for a walk
go shopping with {person}
get up at {clock}
get off at the next stop
get a letter from {person}
drive to {city}
drive {poss} {relative} to the {building}
ride a bike to work
fly to {country}
travel to {country}
travel around {country} by {transport}
move to {city}
stay in {city} for {span}
stay at a small hotel
stay in bed for {span}
book a room for {span}
book a flight to {city}
wait for {person}
wait at the {building}
listen to the radio
listen to {topic}
watch a movie about {topic}
watch the news on television
play the {instrument}
play {sport} with {person}
play {sport}
study {topic}
study for the exam
learn to play the {instrument}
practice {sport}
teach {topic} at a school
talk about {topic}
talk to {person}
talk to the {job}
speak to the {job}
see a {job}
ask {person} for help
ask the {job} a question
help {person} with the {document}
help {poss} {relative}
tell {person} the truth
tell {person} about {topic}
give {person} a present
give the {item} to {person}
give back the {item}
bring some {food} for {meal}
bring {poss} {item}
carry the {items} upstairs
lend {person} some money
borrow {poss} {item}
pay for the {items}
pay the bill
spend too much money on {clothes}
spend {span} in {city}
sell the old {item}
build a house with a {room}
repair the {item}
fix the {item} with a {tool}
use a {tool}
cut the {food} with a knife
break a {item}
throw away the old {items}
choose a {color} {garment}
plan a trip to {country}
change {poss} password
check {poss} email
check the weather
save the file
open the file
plan the meeting
take a break
take a picture of the {animals}
take the {transport} to {city}
take some medicine
take care of the {animals}
feel {feeling}
catch a cold
hurt {poss} {bodypart}
run in the park
swim in the lake
sing in the car
grow {food} in the garden
wrap the present
invite {person} to {meal}
thank {person} for the {item}
share the {food}
sleep for {span}
think about {topic}
worry about {topic}
complain about the {items}
enjoy the sunshine
win the game
""")
(DO, DOES, DOING, DID, DONE) = zip(*map(verb_forms, ACTIONS), strict=True)

LISTS |= {
    "do": DO,
    "does": DOES,
    "doing": DOING,
    "did": DID,
    "done": DONE,
    "food": _words("""bread rice soup pasta cheese chicken fish beef ham honey butter salad fruit potatoes tomatoes
        carrots onions beans mushrooms apples oranges grapes strawberries lemons peaches noodles eggs pancakes
        cookies chocolate sugar salt pepper garlic yogurt corn nuts sausages vegetables"""),
    "dish": _lines("""
        a sandwich
        a pizza
        a salad
        a bowl of soup
        a piece of cake
        a plate of pasta
        the fish
        the chicken with rice
        two eggs
        a large burger
        an omelet
        the soup of the day
        some ice cream
        an apple pie"""),
    "drink": _words("coffee tea milk juice lemonade water beer wine cocoa soda"),
    "meal": _words("breakfast lunch dinner supper"),
    "animal": _words("""dog cat horse cow sheep pig goat chicken duck rabbit mouse parrot turtle snake lion tiger bear
        wolf fox monkey elephant camel deer squirrel owl eagle frog spider whale dolphin kitten puppy"""),
    "animals": _words("""dogs cats horses cows pigs goats chickens ducks rabbits parrots turtles lions tigers bears
        wolves foxes monkeys elephants camels squirrels eagles frogs birds fish bees kittens puppies"""),
    "job": _words("""doctor nurse dentist teacher lawyer plumber carpenter waiter waitress baker butcher gardener
        mechanic electrician pilot journalist manager secretary librarian scientist police_officer firefighter
        cleaner hairdresser tailor programmer designer judge musician photographer"""),
    "bodypart": _words("head back arm leg knee foot hand finger shoulder neck ear nose throat stomach ankle elbow"),
    "bodyparts": _words("hands feet arms legs eyes ears teeth fingers knees"),
    "garment": _words("coat jacket shirt sweater skirt dress hat scarf tie belt suit raincoat cap blouse"),
    "clothes": _words("shoes boots socks gloves pants jeans shirts sandals pajamas dresses glasses clothes"),
    "tool": _words("hammer saw screwdriver ladder brush needle drill rope shovel bucket ruler knife broom"),
    "feeling": _words("""tired happy sad nervous hungry thirsty lonely proud excited bored angry worried relaxed sick
        better well confused surprised disappointed grateful dizzy sleepy calm guilty hopeful"""),
    "weather": _words("sunny rainy cloudy windy snowy foggy stormy warm cold hot cool dry wet nice terrible freezing"),
    "transport": _words("bus train car plane taxi bike boat ferry subway tram"),
    "items": _words("""books bags boxes bottles letters tickets keys chairs cups plates pictures windows tools toys
        phones candles newspapers blankets spoons suitcases presents tables cards"""),
    "item": _words("""umbrella key wallet phone bag book ticket camera laptop watch passport suitcase lamp radio clock
        chair table bicycle computer cup bottle pen notebook pillow mirror printer keyboard backpack blanket"""),
    "document": _words("report letter contract invoice form essay list article recipe homework plan summary manual"),
    "room": _words("kitchen bathroom bedroom garage basement living_room hallway attic garden office cellar"),
    "building": _words("""library museum bank pharmacy bakery supermarket airport hospital theater restaurant gym
        post_office police_station bus_stop hotel church factory stadium market university bookstore"""),
    "topic": _words("""music history politics football science art mathematics cooking the_weather the_future money
        health travel the_environment space poetry chemistry animals family_life jazz the_economy biology"""),
    "sport": _words("football tennis basketball chess golf baseball volleyball hockey badminton"),
    "instrument": _words("piano guitar violin drums flute trumpet cello"),
    "color": _words("red blue green yellow black white brown gray purple pink dark_blue light_green"),
    "relative": _words("""mother father brother sister son daughter uncle aunt cousin wife husband grandmother
        grandfather nephew niece parents children neighbor best_friend roommate"""),
    "person": _lines("""
        {name}
        {name}
        {name} {surname}
        my mother
        my father
        my brother
        my little sister
        my uncle
        my wife
        my husband
        my boss
        our neighbor
        our teacher
        his daughter
        her son
        their grandmother
        a friend of mine
        a colleague
        the new {job}
        the {job}
        the tall woman
        the old man
        the {job} from {country}"""),
    "people": _lines("""
        my parents
        our neighbors
        the students
        the tourists
        some friends
        my cousins
        his colleagues
        her grandparents
        the boys
        the girls
        most people
        a lot of people
        many families
        {name} and {name}
        {name} and her brother
        all my friends
        both of my sisters
        the players"""),
    "surname": _words("""Smith Johnson Brown Miller Davis Garcia Wilson Anderson Taylor Moore Jackson Martin Lee Clark
        Walker Hall Young King Wright Hill Green Baker Nelson Carter Mitchell Turner Parker Collins Murphy Cooper
        Morgan Kelly Howard Ward Brooks Bennett Wood Ross Foster Kim Schmidt Rossi Lopez Novak Singh Tanaka"""),
    "city": _words("""London Paris Berlin Boston Chicago Tokyo Rome Madrid Vienna Moscow Dublin Athens Cairo Sydney
        Toronto Seattle Denver Miami Houston Dallas Amsterdam Brussels Stockholm Oslo Lisbon Prague Warsaw Budapest
        Munich Hamburg Barcelona Milan Venice Geneva Istanbul Delhi Bangkok Singapore Shanghai Beijing Manchester
        Edinburgh Oxford Cambridge Philadelphia New_York Los_Angeles San_Francisco Hong_Kong"""),
    "country": _words("""China Japan England France Germany India Canada Australia Spain Italy Mexico Russia Brazil
        Argentina Egypt Turkey Greece Poland Sweden Norway Denmark Finland Ireland Scotland Portugal Austria Hungary
        Thailand Vietnam Kenya Nigeria Morocco Peru Chile Cuba Israel Iceland South_Africa New_Zealand"""),
    "comp": _words("""bigger smaller taller shorter older younger faster slower cheaper stronger heavier lighter
        louder quieter nicer warmer colder cleaner easier harder better worse longer happier friendlier
        more_expensive more_interesting more_beautiful more_comfortable more_difficult more_useful"""),
    "best": _words("""biggest smallest tallest oldest youngest fastest cheapest strongest nicest worst funniest
        most_expensive most_interesting most_beautiful most_difficult most_famous strangest easiest"""),
    "quality": _words("""expensive cheap beautiful ugly broken useful heavy light boring interesting difficult easy
        dangerous safe empty clean dirty comfortable delicious important strange wonderful small large"""),
    "often": _words("always usually often sometimes never rarely hardly_ever"),
    "how": _words(
        "slowly quickly quietly carefully happily together alone again early late in_a_hurry with_great_care"
    ),
    "past_time": _lines("""
        yesterday
        last night
        last week
        last Sunday
        last summer
        two days ago
        an hour ago
        this morning
        a few weeks ago
        on {day}
        last {day}
        in {month}
        in {year}
        when I was young
        before the war
        in the end"""),
    "future_time": _lines("""
        tomorrow
        tonight
        next month
        next year
        next {day}
        on {day}
        in {month}
        this afternoon
        this weekend
        in an hour
        in two weeks
        at {clock}
        after work
        before {meal}
        soon
        as soon as possible
        tomorrow morning"""),
    "span": _lines("""
        an hour
        two hours
        ten minutes
        half a day
        three days
        a week
        two weeks
        six months
        a year
        five years
        a long time
        the whole weekend"""),
    "linker": _words("because although while before after since even_though so_that"),
    "i": _words("I we you they"),
    "he": _words("he she"),
    "price": _lines("""
        {tens} dollars
        {tens} euros
        {tens} pounds
        {tens} dollars and {tens} cents
        {tens} ninety nine
        one hundred dollars
        fifty cents
        {number} dollars"""),
    "date": _lines("""
        {month} {ordinal}
        {month} {ordinal}, {year}
        the {ordinal} of {month}
        the {ordinal} of {month}, {year}
        {day}, {month} {ordinal}
        {day}, the {ordinal} of {month}, {year}"""),
    "percent": _lines("""
        {tens} percent
        {tens} point {digit} percent
        one hundred percent
        half a percent"""),
    "fraction": _lines("""
        half
        a third
        a quarter
        two thirds
        three quarters
        one fifth"""),
}
