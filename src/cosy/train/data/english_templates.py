"""The sentence templates of the English text generator; fields are the lists of `english_words`.

`GRAMMAR` exercises the plain word lists and numbers, `EVERYDAY` is what people say to each
other, `PHRASES` are short utterances.  None may say an acceptance sentence or one that differs in
one word: a test walks through all of them.
"""

from __future__ import annotations

SLOT_TEMPLATE = "the {adj} {noun} {verb} {prep} the {adj} {noun}."

GRAMMAR: tuple[str, ...] = (
    "{greet}.",
    "{greet}, {name}.",
    "{greet}, how are you?",
    "{greet}, how are you today?",
    "{greet}, my name is {name}.",
    "{greet}, how can I help you?",
    "how are you {when}?",
    "I am {feel}, {polite}.",
    "{polite}, {name}.",
    "{polite}, I {modal} {tverb} {obj} {when}.",
    "nice to meet you, {name}.",
    "what is your name?",
    "what time is it?",
    "what time is the {noun}?",
    "where is the {noun}?",
    "where is {poss} {adj} {noun}?",
    "{wh} is {det} {noun}?",
    "{wh} did you {tverb} the {noun}?",
    "{wh} do you {tverb} {obj}?",
    "{wh} are they {ving} {where}?",
    "who {past} {poss} {noun}?",
    "do you {tverb} the {adj} {noun}?",
    "did {name} {tverb} the {noun} {when}?",
    "are you {feel}?",
    "is {sub3} {feel} {when}?",
    "{modal} you {tverb} the {noun}, please?",
    "{modal} I {tverb} {poss} {noun}?",
    "please {tverb} the {noun}.",
    "please {tverb} {obj} {when}.",
    "do not {tverb} the {adj} {noun}.",
    "let us {tverb} the {noun} {when}.",
    "the {noun} is {feel}.",
    "the {noun} is {much} {adj}.",
    "the {adj} {noun} is {where}.",
    "this is {poss} {noun}.",
    "that is a {adj} {noun}.",
    "there is a {adj} {noun} {where}.",
    "there are {number} people {where}.",
    "it is {much} {adj} {when}.",
    "it was a {adj} {noun}.",
    "it will be {adj} {when}.",
    "the weather is {adj} {when}.",
    "the {noun} {verb} {adv}.",
    "{name} {verb} {prep} the {noun}.",
    "the {adj} {noun} {verb} {prep} the {noun}.",
    "{det} {noun} {verb} {prep} {det} {adj} {noun}.",
    "{name} and {name} are {ving} {where}.",
    "{sub} are {ving} {prep} the {noun}.",
    "{sub3} is {ving} {where} {when}.",
    "I was {ving} when {sub3} {past} the {noun}.",
    "{sub} {past} the {adj} {noun} {where}.",
    "{sub3} {past} {poss} {noun} {when}.",
    "{name} {past} a {noun} {when}.",
    "the {noun} {past} the {adj} {noun}.",
    "my {noun} {past} {poss} {noun} {adv}.",
    "{sub} {modal} {tverb} {det} {noun}.",
    "{sub3} {modal} not {tverb} the {noun} {when}.",
    "{name} {modal} {tverb} {obj} {adv}.",
    "I think {sub3} {past} the {noun}.",
    "I do not {tverb} {obj} {adv}.",
    "{sub} do not {tverb} {thing}.",
    "I like {thing} and {thing}.",
    "I like {ving} {where}.",
    "we love {ving} and {ving}.",
    "{thing} is {adj}.",
    "{thing} is more important than {thing}.",
    "if {sub} {tverb} the {noun}, {sub} {modal} {tverb} the {noun}.",
    "when the {noun} {verb}, the {noun} {verb} {adv}.",
    "the {noun} in {place} is {adj}.",
    "{name} lives in {place}.",
    "{sub} came from {place} {when}.",
    "the train from {place} to {place} is {feel}.",
    "we will go to {place} on {day}.",
    "{name} was born in {place} in {month}.",
    "today is {day}.",
    "the {noun} opens on {day}.",
    "today is {day}, {month} {ordinal}.",
    "the meeting is on {month} {ordinal}.",
    "it is {clock}.",
    "the {noun} starts at {clock}.",
    "call me at {clock}.",
    "{name} is {number} years old.",
    "I have {number} {items}.",
    "the {noun} costs {number} dollars.",
    "{number} plus {number} is {number}.",
    "{number} and {number}.",
    "{number}, {number}, {number}, {number}.",
    "the number is {number}.",
    "my phone number is {digits}.",
    "{number} percent of the {items} are {adj}.",
    "in {year}, {name} {past} the {noun}.",
    "page {number}, line {number}.",
    "room {number} is {where}.",
    "yes, {sub} {modal}.",
    "no, it is not {adj}.",
    "yes, that is {feel}.",
    "well, I {past} it {when}.",
    "oh, what a {adj} {noun}!",
    "the {noun} and the {noun} are {adj}.",
    "the {adj} {noun} and the {adj} {noun} {past} {obj}.",
    "a {adj} {noun}, a {adj} {noun} and a {noun}.",
    "{noun}, {noun}, {noun}.",
    "not the {noun}, but the {noun}.",
    "the {noun} of the {noun} is {adj}.",
    "{poss} {noun} is not as {adj} as {poss} {noun}.",
    "he said that the {noun} was {adj}.",
    "she asked if the {noun} was {where}.",
    "nobody {past} the {adj} {noun}.",
    "everyone {past} {poss} {noun} {when}.",
    "something is {where}.",
    "I have never {past} such a {adj} {noun}.",
    "the quick {adj} {noun} jumps over the {adj} {noun}.",
    "once upon a time, there was a {adj} {noun}.",
    "I want to {tverb} the {noun} {when}.",
    "it is time to {tverb} the {noun}.",
    "we have to {tverb} {obj} {when}.",
)

EVERYDAY: tuple[str, ...] = tuple(
    """I want to {do} {future_time}.
Do you want to {do} with us?
Did you {do} {past_time}?
Did you remember to {do}?
Don't forget to {do} {future_time}.
Why don't we {do} {future_time}?
Why didn't you {do} {past_time}?
When are you going to {do}?
How often do you {do}?
How long does it take to {do}?
Where can I {do} around here?
Who is going to {do} {future_time}?
What happened when you {did}?
What are you doing {future_time}, {name}?
Which {garment} do you like better, the {color} one or the {color} one?
Whose {item} is this?
How much is the {color} {garment}?
How much are these {clothes}?
How many {items} do we need for {meal}?
How far is it from {city} to {city}?
How was your trip to {country}?
Have you ever {done}?
Have you {done} yet?
Has {person} {done} already?
Has anybody seen my {item}?
Are you {doing} {future_time}?
Are there any {items} in the {room}?
Is there a {building} near here?
Is it always so {weather} in {month}?
Is it possible to {do} {future_time}?
Is your {bodypart} still hurting?
Isn't that the {job} from {city}?
Aren't you tired of {doing}?
Doesn't {person} like {food}?
Can't you {do} {future_time}?
Would you mind {doing}?
Would you rather {do} or {do}?
Would it be all right to {do} {future_time}?
Could I speak to {name} {surname}, please?
Could you help me with this {item}?
Could we {do} before we {do}?
Could somebody please {do}?
May I borrow your {item} for a moment?
May I have {dish}, please?
Shall we {do} {future_time}?
Can I pay for the {items} by card?
Can you show me how to {do}?
Can you recommend a good {building} in {city}?
Do you know where {person} works?
Do you know how to {do}?
Do you remember when we {did}?
Do you have this {garment} in {color}?
Do you have anything {comp}?
Do I need a ticket for the {building}?
Does this {transport} stop at the {building}?
Excuse me, where is the nearest {building}?
Excuse me, is this seat free?
Sorry, I didn't {do} because I was {feeling}.
I'm sorry, but we don't have any {food} left.
I'm afraid the {building} is closed on {day}.
I'm calling about the {document} from {date}.
I'm looking for a {garment} for my {relative}.
I'm not sure whether {person} can {do}.
I'm going to {do} {future_time}.
I'm trying to {do}, but it's not easy.
I'm really {feeling} today.
I'm too {feeling} to {do}.
I'm from {city}, but I live in {country} now.
I'll {do} as soon as I have {done}.
I'll have {dish} and a glass of {drink}.
I'll call you back {future_time}.
I'll be at the {building} until {clock}.
I've already {done}, so I can {do} now.
I've never {done} in my life.
I've got a pain in my {bodypart}.
I've been {doing} for {span}.
I'd like to {do}, if you don't mind.
I'd rather {do} than {do}.
I'd like two tickets to {city}, please.
I used to {do} when I was a child.
I usually {do} before {meal}.
I hope that {person} will {do} {future_time}.
I hope you aren't {feeling} any more.
I can't {do} and {do} at the same time.
I can't find my {item} anywhere.
I couldn't {do}, so I had to {do}.
I forgot to {do} {past_time}.
I don't {often} {do} on {day}.
I don't know why {person} {does}.
I don't like {food}, but I love {food}.
I didn't have time to {do} {past_time}.
I didn't know that {people} {do}.
I wish I could {do} {future_time}.
I wonder if {person} has {done}.
I heard that {person} wants to {do}.
I was {doing} when the phone rang.
I was just about to {do}.
I was born in {city} on {date}.
I need some {food} and a bottle of {drink}.
I need a new {item} because mine is broken.
I have an appointment with the {job} at {clock}.
I have to {do} before I can {do}.
I saw {person} at the {building} {past_time}.
I bought {food}, {food} and {food} at the market.
I paid {price} for this {garment}.
I feel {feeling} when I {do}.
I enjoy {doing} and {doing}.
I met {person} while I was {doing}.
I believe {person} is {doing} right now.
You should {do} more often.
You shouldn't {do} when you're {feeling}.
You don't have to {do} if you're {feeling}.
You mustn't {do} in the {building}.
You look {feeling}, what's the matter?
You had better {do} before it gets dark.
You can {do} after you have {done}.
You need a {tool} to fix that {item}.
You'll find the {building} next to the {building}.
You've been very kind to my {relative}.
You can't miss it, it's right behind the {building}.
We're going to {do} {future_time}.
We're planning to {do} with {people}.
We've just {done}, and now we're {feeling}.
We've lived in {city} for {span}.
We {did} {past_time}, and then we {did}.
We {often} {do} on {day}.
We'd better {do} now.
We'll meet at the {building} at {clock}.
We can either {do} or {do}.
We couldn't {do} because it was so {weather}.
We were {doing} while {person} was {doing}.
We stayed in {city} for {span} last summer.
We ran out of {food}, so I went to the {building}.
We haven't seen {person} for {span}.
We took the {transport} because it was {weather}.
They're {doing} in the {room}.
They don't {do} any more.
They {did} {past_time}.
They used to {do} every {day}.
They've decided to {do} {future_time}.
They won't {do} unless we {do}.
They said that they would {do} {future_time}.
They asked us to {do}.
{people} {do} {when}.
{people} like to {do} on {day}.
{people} {did} {past_time}.
{people} are {doing} at the moment.
{people} have {done}, haven't they?
{people} don't {do} in winter.
{people} were {feeling} after they {did}.
{people} will {do} {future_time}.
{people} want to {do}, but they can't.
{person} {does} every {day}.
{person} {often} {does} on {day}.
{person} {did} {past_time}.
{person} {did} and {did}.
{person} {did}, but nobody noticed.
{person} is {doing} {how}.
{person} isn't {doing} today.
{person} doesn't {do} any more.
{person} didn't {do} {past_time}.
{person} has {done} twice.
{person} hasn't {done} yet.
{person} had {done} before we {did}.
{person} will {do} {future_time}.
{person} won't {do} without {person}.
{person} wants to become a {job}.
{person} wanted to {do}, but it was too late.
{person} works as a {job} in {city}.
{person} is a {job}, and {he} {does} every day.
{person} is {comp} than {person}.
{person} was {feeling} because {he} couldn't {do}.
{person} was {doing} when I {did}.
{person} told me that {he} had {done}.
{person} said, I'll {do} {future_time}.
{person} asked whether we could {do}.
{person} promised to {do} {future_time}.
{person} seems to be {feeling} today.
{person} and {person} are {doing} together.
{person} likes {food} with {food}.
{person} likes {doing} more than {doing}.
{person} comes from {country} and speaks four languages.
{person} goes to work by {transport}.
{person} grew up in {city} with three {animals}.
{person} hurt his {bodypart} while playing {sport}.
{person}, who lives in {city}, {does}.
{person} must {do} before {clock}.
{person} may {do} {future_time}.
{he} always {does} before {he} {does}.
{he} can {do}, can't {he}?
{he} {did} {linker} {he} {did}.
{he} has been {doing} since {clock}.
{he} stopped {doing} last {month}.
{i} {did} {linker} {person} {did}.
After we {did}, we {did}.
Before you {do}, you should {do}.
While {person} was {doing}, {people} were {doing}.
Since {person} moved to {city}, we haven't {done}.
Although it was {weather}, {people} {did}.
As soon as {person} {does}, we'll {do}.
Because {person} was {feeling}, we {did}.
When it's {weather}, I like to {do}.
When {person} was young, {he} used to {do}.
Whenever I {do}, I feel {feeling}.
Even though I was {feeling}, I {did}.
If you {do}, I'll {do}.
If it's {weather} {future_time}, we can {do}.
If I had more time, I would {do}.
If I were you, I'd {do}.
If {people} don't {do}, we'll have to {do}.
If you had {done}, you wouldn't be {feeling}.
If you need help, ask the {job} in the {building}.
Unless it's too {weather}, {people} will {do}.
The {job} {did} {past_time}.
The {job} says I should {do} twice a week.
The {job} who {did} is {feeling}.
The {job} asked me to open my mouth.
The {item} that I bought in {city} is {quality}.
The {item} on the chair belongs to {person}.
The {item} doesn't work any more.
The {items} in the {room} are {quality}.
The {items} were delivered {past_time}.
The {items} that {person} sold were too {quality}.
The {building} was built in {year}.
The {building} is between the {building} and the {building}.
The {building} opens at {clock} and closes at {clock}.
The {building} is {comp} than the {building}.
The {animals} are sleeping in the {room}.
The {animals} were fed by {person} {past_time}.
The {animal} ran away when it saw the {animal}.
The {transport} from {city} was {number} minutes late.
The {transport} to {city} has been canceled.
The next {transport} to {city} leaves in {tens} minutes.
The flight to {city} takes about {span}.
The {document} was written by {person}.
The {document} must be signed before {day}.
The {document} is almost finished, isn't it?
The {room} has to be cleaned before {people} arrive.
The {room} is {comp} than I thought.
The {color} {garment} is {comp} than the {color} one.
The {food} and the {food} taste {quality} together.
The {food} is {comp} here than in {country}.
The {meal} was cooked by {person}.
The computer is slow {linker} {person} {did}.
The exam in {topic} was {comp} than last year.
The children have to learn about {topic} and {topic}.
The weather in {city} was {weather} and {weather}.
The wind is getting {comp}, so let's {do}.
The {best} {building} in {city} is open on {day}.
There's a {building} on the corner, just after the {building}.
There's a {animal} in the {room}!
There's nothing to {do} in this {building}.
There's some {food} and {food} in the {room}.
There are {small} {animals} in front of the {building}.
There are a few {items} under the {item}.
There aren't any {items} in the {building}.
There isn't enough {food} for {people}.
There was a {job} at the {building} who could help us.
There were too many people at the {building} {past_time}.
There will be {food} and {drink} for {meal}.
There used to be a {building} behind the {building}.
It's {weather} today, so we should {do}.
It's going to be {weather} in {city} {future_time}.
It's too {weather} to {do}.
It's a pity that {person} can't {do}.
It's important to {do} before {meal}.
It's easier to {do} than to {do}.
It's cheaper to go by {transport} than by {transport}.
It's the {best} {item} in the {building}.
It's your turn to {do}, {name}.
It's not {comp} than the other one.
It takes {span} to get to {city} by {transport}.
It doesn't matter if you {do} or {do}.
It was {weather} when we {did}.
It was so {weather} that we couldn't {do}.
It might be {weather} in {country} {future_time}.
That's the {building} where {person} works.
That's the {best} {animal} I've seen this year.
That's why {person} {did}.
This {garment} is too big, do you have a {comp} one?
This {garment} goes well with those {clothes}.
This is {name} {surname} speaking, how can I help?
This is my {relative}, {name}, who {does} in {city}.
This {item} was made in {country}.
These {clothes} are {comp} than those.
These {items} come from {country}.
Those {animals} belong to {person}.
My {relative} is {small} years old and loves {sport}.
My {bodypart} hurts when I {do}.
My {bodyparts} were cold because it was {weather}.
My {item} was stolen at the {building} {past_time}.
My {relative} gave me a {item} and some {food}.
My favorite subjects are {topic} and {topic}.
My boss wants me to {do} {future_time}.
My computer won't start, and I have to {do}.
My name is {name} {surname}, and I'm a {job}.
Our {relative} will be {small} years old on {date}.
Our flight was delayed, so we {did}.
Our teacher explained {topic} to the class.
Let's {do} before it's too {weather}.
Let's not {do} today.
Let me {do} first.
Please {do} before you {do}.
Please don't {do} in the {room}.
Please tell {person} that I'll {do} {future_time}.
Please turn off your phone in the {building}.
Please take a seat, the {job} will be with you soon.
First {do}, then {do}, and finally {do}.
First add the {food}, then stir in the {food}.
Boil the {food} for {small} minutes and add some {food}.
Cut the {food} into small pieces and mix it with the {food}.
Go straight ahead and turn right at the {building}.
Take the second street on the left after the {building}.
Press the {color} button and wait for {small} seconds.
Save your {document} and restart the computer.
Keep the {food} away from the {animals}.
Be careful with that {tool}, it's very sharp.
Hold on, {person} is on the other line.
Tell me about {topic}.
Ask {person} if {he} can {do}.
Try to {do} without {doing}.
Never {do} when you're {feeling}.
Nobody wanted to {do} except {person}.
Everyone was {feeling} when {person} {did}.
Somebody has {done} without asking.
One of the {animals} was {comp} than the others.
Some of the {items} are {quality}, but others aren't.
Most of the {clothes} were made in {country}.
Neither {name} nor {name} can {do}.
Both {name} and {name} {do} on {day}.
What a pity that {person} didn't {do}!
What a {weather} day it is!
What I like most about {city} is the {building}.
How nice of you to {do}!
Thanks for {doing}, {name}.
Thanks a lot, but I can {do} myself.
Well, {person} {did}, didn't {he}?
Yes, I {did} {past_time}.
Yes, but first we have to {do}.
No, I haven't {done} yet.
No, thanks, I've already {done}.
Of course you can {do} {future_time}.
Maybe {person} will {do} instead.
Perhaps we could {do} {future_time}.
Actually, I don't like {doing} very much.
Luckily, {person} {did} in time.
Unfortunately, {person} can't {do} {future_time}.
In {country}, {people} {often} {do}.
In my opinion, {topic} is {comp} than {topic}.
At the {building}, I met {person} and {person}.
On {day}, {people} usually {do}.
On {date}, {person} {did}.
{name} {surname} was born on {date}.
{name} {surname} lived in {country} from {year} to {year}.
Today is the {ordinal} of {month}, {year}.
The meeting with {name} {surname} is on {date} at {clock}.
The {item} costs {price}, and the {item} costs {price}.
The price went up by {percent} in {year}.
About {percent} of the people in {country} {do}.
More than {fraction} of the {items} were sold.
The number of {animals} fell from {number} to {number}.
The total is {price}, please.
My number is {digits}, and my room is {number}.
You can reach {name} at {digits}.
The temperature is {small} degrees, and it's {weather}.
{person} ran {small} kilometers in {tens} minutes.
That makes {price} and {percent} tax.
We have {small} {items} and {small} {animals}.""".splitlines()
)

PHRASES: tuple[str, ...] = tuple(
    """Yes.|No.|Maybe.|Perhaps.|Really?|Sure.|Certainly.|Exactly.|Absolutely.|Okay.|Hello.|Goodbye.|Thanks.|Sorry.
Please.|Welcome.|Wait!|Stop!|Help!|Look!|Listen.|Why?|When?|Where?|Who?|How?|What?|Nothing.|Never.|Always.
Not at all.|Why not?|Not yet.|Not really.|Not now.|Of course.|Of course not.|No way.|No problem.|No, thank you.
Yes, please.|Yes, I am.|Yes, we can.|No, I'm not.|No, it isn't.|I see.|I know.|I don't know.|I think so.
I hope so.|I hope not.|I'm fine.|I'm here.|I'm coming.|I'm late.|I'm sorry.|I'm lost.|I agree.|I don't agree.
I can't hear you.|I understand.|I don't understand.|Me too.|Me neither.|So do I.|So am I.|You're right.
You're welcome.|You're late.|Good idea.|Good luck.|Good job.|Good for you.|Well done.|Never mind.|Don't worry.
Don't mention it.|Don't do that.|Come in.|Come here.|Come on.|Go ahead.|Go away.|Sit down.|Stand up.|Hurry up.
Slow down.|Hold on.|Watch out!|Be careful.|Be quiet.|Take your time.|Take a seat.|Let me see.|Let's go.
Let's begin.|Wait a minute.|Just a moment.|One moment, please.|Here you are.|Here we go.|There you go.
That's all.|That's right.|That's wrong.|That's enough.|That's true.|That's great.|That depends.|It depends.
It's over.|It's raining.|It's late.|It's all right.|It doesn't matter.|What's wrong?|What's this?|What happened?
What's new?|What about you?|Who's there?|Who is it?|Where are you?|Where to?|How much?|How many?|How long?
How far?|How come?|How are things?|How about tomorrow?|Are you ready?|Are you sure?|Is that so?|Do you?|Did you?
Can I help?|Any questions?|Anything else?|Same here.|See you.|See you then.|Bye for now.|Have fun.
Have a nice day.|Have a good trip.|Happy birthday.|Happy new year.|Merry Christmas.|Congratulations.|Cheers.
Excuse me.|Pardon?|My pleasure.|My mistake.|What a pity.|What a surprise!|How nice!|How strange.|Too bad.
All right.|All done.|Right away.|Once more.|Once again.|At last.|At once.|As usual.|Up to you.|After you.
{name}.|{name}?|{name} {surname}.|{small}.|{number}.|{digit}.|{day}.|{month}.|{city}.|{country}.|{food}.|{color}.
{animal}.|{ordinal}.|{clock}.|{price}.|{percent}.|{date}.|{year}.|{noun}.|{adj}.|{adv}.|{when}.|{where}.
{future_time}.|{past_time}.|{span}.|See you on {day}.|See you {future_time}.|On {day}.|In {month}.|In {city}.
By {transport}.|At {clock}.|With {food}.|For {span}.|For {person}.|With {person}.|From {country}.|To {city}.
Hello, {name}.|Thank you, {name}.|Yes, {name}.|No, {name}.|Goodbye, {name}.|Well done, {name}.|Come on, {name}.
Where's {name}?|Who's {name}?|How's {name}?|Poor {name}.|Not {name}.|Very {adj}.|Too {adj}.|How {adj}!
So {feeling}.|I'm {feeling}.|You're {feeling}.|It's {weather}.|It's {clock}.|It's {quality}.|That's {quality}.
Not {quality}.|A {animal}.|Two {animals}.|{small} {items}.|A {color} {garment}.|My {item}.|My {relative}.
Some {food}, please.|{dish}, please.|More {drink}, please.|No {food}, thanks.|{food} and {food}.
{name} and {name}.|{color} or {color}?|{small} or {small}?|{day} or {day}?|{price}, please.""".replace("\n", "|").split(
        "|"
    )
)
