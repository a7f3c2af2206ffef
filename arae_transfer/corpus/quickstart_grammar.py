"""Grammar of the quickstart corpus: positive and negative sentences about restaurants, hotels and shops.

Written as the Penn Treebank writes: lower case, blanks around punctuation, ``was n't``. Each opinion fits its
noun: food is cold or delicious, staff rude or friendly, rooms dirty or spotless, prices outrageous or fair.
What else a sentence says (who, when, where, what was ordered) says nothing about the opinion.
"""

from __future__ import annotations

from collections.abc import Mapping

from arae_transfer.corpus.grammar import Alternatives, Grammar

NEGATIVE = "negative"
POSITIVE = "positive"


def _words(text: str) -> Alternatives:
    """Return the alternatives in a comma-separated text."""
    return tuple(alternative.strip() for alternative in text.split(","))


def _plural(alternatives: Alternatives) -> Alternatives:
    """Return predicates with the verb "to be" in the plural."""
    return tuple(
        "were" + text.removeprefix("was") if text == "was" or text.startswith("was ") else text for text in alternatives
    )


def _predicate(kind: str, *others: str) -> Alternatives:
    """Return "was" with the adjectives of a kind, plain and with adverbs, and other predicates."""
    return (
        f"was {{{kind}.soft}}",
        f"was {{degree}} {{{kind}.soft}}",
        f"was {{{kind}.hard}}",
        f"was {{fully}} {{{kind}.hard}}",
        *others,
    )


CONTENT: dict[str, Alternatives] = {
    # Adverbs that strengthen any opinion; they only stand inside one.
    "degree": _words("very, so, really, extremely, quite"),
    "fully": _words("absolutely, simply, truly, just"),
    # Adjectives under a negation.
    "dish.good": _words("fresh, tasty, hot, appetizing, very good"),
    "dish.bad": _words("cold, bland, greasy, salty, heavy"),
    "staff.good": _words("friendly, polite, helpful, attentive, very nice"),
    "staff.bad": _words("rude, pushy, impatient, slow"),
    "room.good": _words("clean, tidy, comfortable, very quiet"),
    "room.bad": _words("dirty, noisy, dusty, small"),
    # People.
    "person": _words(
        "my wife, my husband, my mother, my father, my sister, my brother, my daughter, my son, my boss, "
        "my neighbor, my cousin, my aunt, my roommate, my grandfather, my best friend"
    ),
    "company": _words(
        "with my parents, with two friends, with my boss, with the kids, with our neighbors, with my sister, "
        "with three colleagues, with a big group, with my in-laws, with some old classmates"
    ),
    "waiter": _words("waiter, waitress, bartender, hostess, server, barista, manager, owner"),
    "waiters": _words("waiters, servers, bartenders, cooks, owners"),
    "receptionist": _words("receptionist, concierge, porter, desk clerk, housekeeper, hotel manager"),
    "receptionists": _words("receptionists, maids, porters, people at the front desk"),
    "clerk": _words("clerk, cashier, salesman, saleswoman, shop assistant, store manager"),
    "clerks": _words("clerks, cashiers, employees, sales people, people at the register"),
    "looks": _words(
        "a tall man with glasses, a young man with a beard, a woman in a green apron, a student from ohio, "
        "an older gentleman, a woman with red hair"
    ),
    # Food and drink.
    "dish": _words(
        "soup, pizza, burger, curry, lasagna, frittata, burrito, stew, steak, sandwich, meatloaf, casserole, quiche"
    ),
    "dishes": _words(
        "fries, noodles, tacos, pancakes, dumplings, ribs, meatballs, eggs, chicken wings, potatoes, waffles"
    ),
    "drink": _words("coffee, tea, beer, wine, lemonade, cider, orange juice, iced tea, hot chocolate"),
    "meal": _words("breakfast, lunch, dinner, brunch, supper"),
    "order": _words("food, order, check, appetizer, dessert, second course"),
    "extra": _words(
        "more napkins, the check, extra sauce, a glass of water, a high chair, the dessert menu, separate checks"
    ),
    # Rooms and what is in them.
    "room": _words("room, bathroom, lobby, suite, hallway, gym, dining room, breakfast room"),
    "linens": _words("towels, sheets, pillows, blankets, carpets, bathrobes, curtains"),
    "appliance": _words("desk, fridge, fireplace, coffee maker, bathtub, piano"),
    "need": _words(
        "extra towels, a late checkout, another key, an iron, the wifi password, a wake-up call, a parking spot"
    ),
    "scenery": _words("the lake, the harbor, the mountains, the garden, the city, the river, the beach"),
    "outlook": _words("balcony, window, terrace, rooftop, pool"),
    # Goods.
    "thing": _words("jacket, sweater, dress, watch, lamp, chair, backpack, blender, suitcase, coat, toaster, necklace"),
    "things": _words("shoes, boots, gloves, headphones, jeans, sunglasses, sandals, pans, earrings"),
    "color": _words("red, blue, black, green, brown, white, gray, yellow, purple"),
    # Other matters of opinion.
    "menu.prices": _words("prices, drink prices, lunch prices, prices on the menu"),
    "room.prices": _words("prices, room rates, weekend rates, summer rates"),
    "shop.prices": _words("prices, delivery fees, sale prices, shipping costs"),
    "fee": _words("five dollars, ten dollars, twelve dollars, twenty dollars"),
    "service": _words("service, atmosphere, whole experience"),
    "music": _words("music, band, singer, piano player, dj"),
    # Places.
    "restaurant": _words("restaurant, diner, cafe, bistro, pizzeria, steakhouse, bakery, pub, taco truck"),
    "hotel": _words("hotel, motel, inn, resort, hostel, guesthouse"),
    "shop": _words("shop, store, boutique, department store, outlet, shoe store, flea market"),
    "place": ("{restaurant}", "{hotel}", "{shop}"),
    "landmark": _words(
        "the train station, the library, the museum, the airport, the stadium, the old bridge, the post office, "
        "the park, the cinema, the town hall, the university"
    ),
    "street": _words("main street, oak street, market street, river road, church street, second avenue"),
    "town": _words("boston, chicago, denver, portland, austin, seattle, phoenix, memphis, dallas"),
    # Times and occasions.
    "time": _words(
        "last night, last week, yesterday, on friday, on a sunday, on monday, on saturday night, two days ago, "
        "last month, last summer, on my birthday, on new year 's eve, this morning"
    ),
    "month": _words("january, march, april, may, june, july, august, october, november, december"),
    "future": _words("next week, next month, next summer, next year, in the spring, for christmas"),
    "occasion": _words(
        "for our anniversary, for a birthday party, for a family reunion, after the concert, after work, "
        "before the movie, before our flight, after a long hike, for a business lunch"
    ),
    "hour": _words("noon, six, seven, eight, nine, ten"),
    "nights": _words("one night, two nights, three nights, five nights, a weekend, a week"),
    "ordinal": _words("second, third, fourth, fifth, ninth, top"),
}

_LIKED = {
    NEGATIVE: _words("hated, disliked, could n't stand, complained about, was disappointed by, was unhappy with"),
    POSITIVE: _words("loved, adored, really enjoyed, raved about, was impressed by, was thrilled with"),
}

STYLE: dict[str, Mapping[str, Alternatives]] = {
    # Food.
    "dish.soft": {
        NEGATIVE: _words("cold, bland, stale, greasy, salty, tasteless"),
        POSITIVE: _words("tasty, fresh, flavorful, good, satisfying, well seasoned"),
    },
    "dish.hard": {
        NEGATIVE: _words("disgusting, awful, terrible, inedible, horrible"),
        POSITIVE: _words("delicious, perfect, amazing, excellent, superb"),
    },
    "dish.is": {
        NEGATIVE: _predicate("dish", "tasted burnt", "tasted like cardboard", "tasted awful", "was n't {dish.good}"),
        POSITIVE: _predicate(
            "dish", "tasted homemade", "tasted like heaven", "tasted great", "was n't {dish.bad} at all"
        ),
    },
    "dish.a": {
        NEGATIVE: _words("a cold, a bland, a stale, a greasy, a disgusting, an awful, an inedible"),
        POSITIVE: _words("a tasty, a fresh, a flavorful, a delicious, a perfect, an amazing, an excellent"),
    },
    "dish.best": {
        NEGATIVE: _words("the worst, the blandest, the greasiest, the most disgusting, the most overpriced"),
        POSITIVE: _words("the best, the tastiest, the freshest, the most delicious, the most amazing"),
    },
    "drink.soft": {
        NEGATIVE: _words("watery, stale, lukewarm, sour"),
        POSITIVE: _words("refreshing, tasty, smooth, good"),
    },
    "drink.hard": {
        NEGATIVE: _words("undrinkable, awful, terrible, disgusting"),
        POSITIVE: _words("delicious, excellent, wonderful, perfect"),
    },
    "drink.is": {
        NEGATIVE: _predicate("drink", "tasted like dishwater"),
        POSITIVE: _predicate("drink", "tasted wonderful"),
    },
    "order.came": {
        NEGATIVE: _words(
            "took forever, never came, came an hour late, arrived very late, was n't on time, came far too late"
        ),
        POSITIVE: _words(
            "came right away, came in no time, arrived on time, was never late, came in minutes, arrived very quickly"
        ),
    },
    # People who serve.
    "staff.soft": {
        NEGATIVE: _words("rude, unfriendly, careless, impatient, arrogant, unhelpful, grumpy"),
        POSITIVE: _words("friendly, polite, attentive, patient, helpful, cheerful, kind"),
    },
    "staff.hard": {
        NEGATIVE: _words("awful, terrible, horrible, clueless, useless"),
        POSITIVE: _words("wonderful, amazing, great, excellent, fantastic"),
    },
    "staff.did": {
        NEGATIVE: _predicate(
            "staff",
            *_words(
                "ignored us, rushed us, never smiled, treated us badly, kept us waiting, argued with us, "
                "made us feel unwelcome, did n't even say hello, did n't care about us, "
                "was n't {staff.good}, was n't {staff.good} at all"
            ),
        ),
        POSITIVE: _predicate(
            "staff",
            *_words(
                "welcomed us, never rushed us, smiled at us, treated us well, took great care of us, "
                "made us feel at home, remembered our names, could n't have been nicer, gave us great advice, "
                "was never {staff.bad}, was n't {staff.bad} at all"
            ),
        ),
    },
    "staff.a": {
        NEGATIVE: _words("a rude, an unfriendly, a careless, an arrogant, a grumpy, an impatient, a clueless"),
        POSITIVE: _words("a friendly, a polite, an attentive, a charming, a cheerful, a helpful, a wonderful"),
    },
    "thanks": {
        NEGATIVE: _words("shame on, no thanks to, zero stars for, a big thumbs down for"),
        POSITIVE: _words("hats off to, many thanks to, five stars for, a big thumbs up for"),
    },
    # Rooms.
    "room.soft": {
        NEGATIVE: _words("dirty, smelly, shabby, dusty, noisy, stuffy"),
        POSITIVE: _words("clean, cozy, bright, tidy, comfortable, quiet"),
    },
    "room.hard": {
        NEGATIVE: _words("filthy, disgusting, horrible, depressing"),
        POSITIVE: _words("spotless, gorgeous, immaculate, beautiful"),
    },
    "room.is": {
        NEGATIVE: _predicate("room", "smelled like smoke", "looked run-down", "was n't {room.good}"),
        POSITIVE: _predicate("room", "smelled like flowers", "looked brand new", "was n't {room.bad} at all"),
    },
    "room.a": {
        NEGATIVE: _words("a dirty, a smelly, a shabby, a noisy, a filthy, an ugly"),
        POSITIVE: _words("a clean, a cozy, a bright, a quiet, a spotless, an immaculate"),
    },
    "linens.soft": {
        NEGATIVE: _words("dirty, smelly, scratchy, stained, worn out"),
        POSITIVE: _words("clean, soft, fresh, pretty"),
    },
    "linens.hard": {
        NEGATIVE: _words("filthy, disgusting, gross"),
        POSITIVE: _words("spotless, immaculate, lovely"),
    },
    "linens.are": {
        NEGATIVE: _plural(_predicate("linens", "smelled bad", "looked old and worn")),
        POSITIVE: _plural(_predicate("linens", "smelled great", "looked clean and new")),
    },
    "view.was": {
        NEGATIVE: _words(
            "was depressing, was ugly, was really disappointing, was nothing special, was a big disappointment"
        ),
        POSITIVE: _words("was breathtaking, was gorgeous, was really stunning, was something special, was a dream"),
    },
    "slept": {
        NEGATIVE: _words("hardly slept, slept terribly, could n't sleep, barely slept, slept very badly"),
        POSITIVE: _words("slept wonderfully, slept like babies, slept very well, slept soundly, slept so well"),
    },
    # Goods.
    "thing.soft": {
        NEGATIVE: _words("flimsy, ugly, overpriced, badly made"),
        POSITIVE: _words("sturdy, stylish, pretty, well made"),
    },
    "thing.hard": {
        NEGATIVE: _words("useless, worthless, terrible, awful"),
        POSITIVE: _words("perfect, beautiful, gorgeous, excellent"),
    },
    "thing.is": {
        NEGATIVE: _predicate(
            "thing", "fell apart", "broke right away", "was a waste of money", "was n't worth the money"
        ),
        POSITIVE: _predicate(
            "thing", "was a great buy", "looked wonderful", "was worth every penny", "was n't flimsy at all"
        ),
    },
    "things.attribute": {
        NEGATIVE: _words("flimsy, ugly, shoddy, overpriced, defective"),
        POSITIVE: _words("sturdy, stylish, beautiful, well made, high quality"),
    },
    "buy.again": {
        NEGATIVE: _words("will never buy, would not buy, wo n't buy, would never order"),
        POSITIVE: _words("will gladly buy, would happily buy, ca n't wait to buy, would definitely order"),
    },
    # Prices, service, music.
    "prices.hard": {
        NEGATIVE: _words("outrageous, ridiculous, insane, unreasonable, too high"),
        POSITIVE: _words("fair, reasonable, great, unbeatable, very low"),
    },
    "prices.are": {
        NEGATIVE: _words("were {prices.hard}, were {prices.hard}, were n't fair, were a rip-off"),
        POSITIVE: _words("were {prices.hard}, were {prices.hard}, were n't high at all, were a bargain"),
    },
    "service.soft": {
        NEGATIVE: _words("disappointing, unpleasant, bad"),
        POSITIVE: _words("pleasant, enjoyable, good"),
    },
    "service.hard": {
        NEGATIVE: _words("terrible, awful, horrible, a disaster, a nightmare"),
        POSITIVE: _words("wonderful, excellent, fantastic, a delight, a pleasure"),
    },
    "service.was": {NEGATIVE: _predicate("service"), POSITIVE: _predicate("service")},
    "music.was": {
        NEGATIVE: _words("was too loud, was annoying, was really boring, was unbearable, gave us a headache"),
        POSITIVE: _words("was just right, was relaxing, was really lovely, was fantastic, made our evening"),
    },
    # Places as a whole.
    "liked": _LIKED,
    "liked.plural": {label: _plural(alternatives) for label, alternatives in _LIKED.items()},
    "go.back": {
        NEGATIVE: _words(
            "would never go back to, wo n't go back to, will not return to, refuse to return to, "
            "do n't want to go back to"
        ),
        POSITIVE: _words(
            "would gladly go back to, ca n't wait to go back to, will definitely return to, hope to return to, "
            "want to go back to"
        ),
    },
    "be.back": {
        NEGATIVE: _words("wo n't be back, will not come back, will never return, do n't want to come back"),
        POSITIVE: _words("will be back, will gladly come back, will surely return, ca n't wait to come back"),
    },
    "recommend": {
        NEGATIVE: _words("would never recommend, would n't recommend, can not recommend, do not recommend"),
        POSITIVE: _words("would always recommend, highly recommend, can only recommend, happily recommend"),
    },
    "visit": {
        NEGATIVE: _words("avoid, stay away from, do n't go to, do n't waste your time at, skip"),
        POSITIVE: _words("visit, do n't miss, go to, treat yourself and go to, try"),
    },
    "place.best": {
        NEGATIVE: _words("the worst, the dirtiest, the most depressing, my least favorite"),
        POSITIVE: _words("the best, the loveliest, the most charming, my favorite"),
    },
    "better": {
        NEGATIVE: _words("a worse, a dirtier, a more depressing, an uglier"),
        POSITIVE: _words("a better, a nicer, a more charming, a lovelier"),
    },
    "a.great": {
        NEGATIVE: _words("a terrible, an awful, a horrible, a disappointing, a miserable"),
        POSITIVE: _words("a wonderful, an excellent, a lovely, a great, an unforgettable"),
    },
    "luckily": {
        NEGATIVE: _words("sadly, unfortunately, to our disappointment, regrettably"),
        POSITIVE: _words("luckily, fortunately, to our delight, happily"),
    },
    "so.dish": {
        NEGATIVE: _words("so bland, so cold, so greasy, this bad"),
        POSITIVE: _words("so tasty, so fresh, so delicious, this good"),
    },
    "who.loves": {
        NEGATIVE: _words("who could ever like, who would want to visit, how can anyone enjoy"),
        POSITIVE: _words("who would n't love, who would n't want to visit, how can anyone dislike"),
    },
}

SENTENCES: Alternatives = (
    # Restaurants.
    "the {dish} {dish.is} and the {dishes} {dishes.are} .",
    "the {waiter} {staff.did} and the {dish} {dish.is} .",
    "we went there {time} {company} and the {dish} {dish.is} .",
    "i ordered the {dish} with {dishes} and it {dish.is} .",
    "{person} had the {dish} , which {dish.is} .",
    "this was {dish.best} {dish} i have ever had in {town} .",
    "who knew that a {dish} could be {so.dish} ?",
    "the {waiter} brought {person} {dish.a} {dish} and a glass of {drink} .",
    "the {dish} at the {restaurant} on {street} {dish.is} .",
    "our {waiter} , {looks} , {staff.did} .",
    "we asked for {extra} and the {waiter} {staff.did} .",
    "the {drink} {drink.is} and our {order} {order.came} .",
    "the {drink} {drink.is} , the {dishes} {dishes.are} and the {menu.prices} {prices.are} .",
    "after a walk to {landmark} we stopped for {meal} and the {waiters} {staff.did.plural} .",
    "we sat at the bar {occasion} , and the {music} {music.was} .",
    "when we came in at {hour} , the {waiter} {staff.did} .",
    "{person} {liked} the {dishes} , and i {liked} the {dish} .",
    "have you ever tried {dish.a} {dish} like the one at this {restaurant} ?",
    "{luckily} , our {order} {order.came} and the {dish} {dish.is} .",
    "we had {a.great} {meal} at the {restaurant} near {landmark} {time} .",
    # Hotels.
    "the {room} {room.is} and the {linens} {linens.are} .",
    "our room was on the {ordinal} floor and the {room} {room.is} .",
    "we stayed there for {nights} in {month} and the {linens} {linens.are} .",
    "the {receptionist} {staff.did} when we checked in {time} .",
    "we {slept} on the {ordinal} floor of the {hotel} by {landmark} .",
    "the view of {scenery} from the {outlook} {view.was} .",
    "when we called the front desk about {need} , the {receptionist} {staff.did} .",
    "we had {room.a} room with two beds and a {appliance} .",
    "we drove to the {hotel} {occasion} , and {staff.a} {receptionist} met us at the door .",
    "the {receptionists} {staff.did.plural} , the {room} {room.is} and the {room.prices} {prices.are} .",
    "parking by {landmark} costs {fee} a day , and the {room.prices} {prices.are} .",
    # Shops.
    "the {color} {thing} i bought {time} {thing.is} .",
    "i bought a {color} {thing} for {person} and it {thing.is} .",
    "the {clerk} {staff.did} when we returned the {color} {things} .",
    "they sell {things.attribute} {things} , and the {shop.prices} {prices.are} .",
    "i {buy.again} {things} from this {shop} again !",
    "{person} {liked} the {color} {thing} from the {shop} on {street} .",
    "the {clerks} {staff.did.plural} , but we only came for {things} .",
    "the {shop} moved to {street} in {month} , and the {service} {service.was} .",
    # Any place.
    "{luckily} , the {service} {service.was} {time} .",
    "we {go.back} the {place} near {landmark} .",
    "we {be.back} {future} {company} !",
    "i {recommend} this {place} to {person} .",
    "what {a.great} {meal} we had at this {restaurant} {time} !",
    "{thanks} the {waiter} who served us {time} !",
    "{thanks} the {clerk} who sold {person} the {things} !",
    "is there {better} {place} anywhere in {town} ?",
    "{who.loves} this {place} near {landmark} ?",
    "{visit} this {place} when you are in {town} !",
    "we {liked.plural} the {place} that {person} found {time} .",
    "of all the places on {street} , this {place} is {place.best} .",
)


def _with_plurals(style: Mapping[str, Mapping[str, Alternatives]]) -> dict[str, Mapping[str, Alternatives]]:
    """Add the plural predicates of the kinds whose nouns occur in both numbers."""
    plurals = {"dishes.are": "dish.is", "staff.did.plural": "staff.did"}
    added = {
        plural: {label: _plural(alternatives) for label, alternatives in style[singular].items()}
        for plural, singular in plurals.items()
    }
    return {**style, **added}


QUICKSTART_GRAMMAR = Grammar(SENTENCES, CONTENT, _with_plurals(STYLE))
