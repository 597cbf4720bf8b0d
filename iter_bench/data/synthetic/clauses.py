"""Clauses that state no relation, and the words that join clauses into sentences. Notation as in ``frames``.

``{name}`` is a name that is spoken of as a word ("the surname Halden"): it denotes nothing and is not annotated.
"""

from __future__ import annotations

# One entity, whose type the clause tells.
SINGLE = {
    "person": (
        "{person} arrived late|early|alone |with_an_umbrella",
        "nobody saw {person} leave the room|hall",
        "{person's} speech bored|moved the guests",
        "{person} bought|lost a hat|bicycle|map",
        "the doctors sent {person} home with a fever|cold",
        "{person} speaks|spoke {count} languages",
    ),
    "organization": (
        "{organization} reported|posted a loss|profit |for_{year}|for_the_third_quarter",
        "shares in {organization} fell|rose by {count} percent",
        "{organization} cut|created {count} jobs",
        "the auditors of {organization} resigned|protested",
        "a strike stopped work at {organization}",
    ),
    "location": (
        "snow|mud|ice closed the roads around {location}",
        "{location} has {count} inhabitants",
        "the population of {location} is falling|growing",
        "tourists avoid {location} in {month}",
        "trains to {location} run every {count} minutes",
    ),
    "product": (
        "the battery|gearbox of {product} lasts {count} years",
        "a recall of {product} was announced |in_{month}",
        "{product} weighs {count} kilos",
        "spare parts for {product} are scarce|cheap",
    ),
    "event": (
        "{event} drew {count} visitors |in_{year}",
        "rain|fog spoiled|delayed {event}",
        "tickets for {event} sold out",
        "{event} lasted {count} days|hours",
    ),
    "work": (
        "{work} runs to {count} pages",
        "{work} is out of print |since_{year}",
        "a signed copy of {work} was found|sold |in_{month}",
        "the last chapter|scene of {work} is dull|long",
    ),
    "role": (
        "{role} retired|resigned|fell_ill |in_{month}|without_notice",
        "a letter from {role} went unread",
        "the chair of {role} stood empty|open",
    ),
}

# Several entities in no relation of the schema, though their types would allow one.
TOGETHER = (
    "{person} met {person} by chance in {location}",
    "{person} sued {organization} for unpaid wages|damages",
    "{organization} sued {organization} over a patent|trademark",
    "{person} drove {product} from {location} to {location}",
    "{person} gave {person} a copy of {work}",
    "{person} missed|enjoyed|opened {event}",
    "{person} and {person} shared|missed a train",
    "{organization} and {organization} answered|ignored the survey",
    "a reporter asked {person} about {organization}",
    "{person} sent {role} a bill",
    "the road from {location} to {location} is narrow|closed",
    "{person} prefers {product} to {product}",
    "{person} hummed a tune from {work} all the way to {location}",
    "{event} and {event} fell on the same day|weekend",
    "{person} sold|bought {count} shares in {organization}",
    "{person} flew from {location} to {event}",
    "{organization} sent {person} a reminder|warning",
    "the critics compared {work} with {work}",
)

# Lists, for texts of high density.
LISTS = (
    "the guests included {person} , {person} , {person} and {person}",
    "the jury heard {person} , {person} and {person}",
    "the index tracks shares|bonds of {organization} , {organization} , {organization} and {organization}",
    "the train stops at|in {location} , {location} , {location} and {location}",
    "the firms {organization} , {organization} and {organization} closed|paid at {count}",
)

# A name used as a word.
WORD_ONLY = (
    "the surname|name {name} is common|rare along the coast",
    "the word {name} means|meant stone|grass|river in an old dialect",
    "hardly anyone could spell|pronounce the name {name}",
    "the {name} method|effect|formula is taught in every school",
    "nobody knew whether {name} was a name or a typing error",
    "a crossword clue asked for {name} backwards",
)

# No name at all.
FILLER = (
    "the harvest|concert|lecture|ferry|inspection was late|cancelled|dull|crowded",
    "rain|snow|dust|hail fell |for_days|all_night|on_the_hills",
    "prices|rents|taxes|fees rose|fell|doubled |again|by_{count}_percent|in_{month}",
    "the committee|council|jury met |twice|on_{day}|behind_closed_doors and decided nothing|little",
    "a crowd|queue formed |outside|before_dawn|at_the_gates",
    "nothing was decided|said|written_down |that_day|on_{day}",
    "the roads were icy|empty|under_water |in_{month}",
    "most of the guests|workers|voters went home early|hungry|in_silence",
    "the figures for {year} are not yet known|complete|public",
    "it was an unusually cold|dry|busy {month}",
    "the talks|repairs|trials took {count} hours|days|weeks",
    "several newspapers|witnesses told the same story |at_first|for_a_while",
    "bread|coal|paper was scarce|cheap |then|that_winter",
    "the archive|station|library opens at {count} on {day}",
    "few of the old|young people remember the strike|fire|flood of {year}",
)

# Around a stated clause: the first leave it true, the second make it untrue or unknown.
AFFIRMING = (
    "it is true that",
    "nobody doubts|doubted that",
    "the records|minutes show|confirm that",
    "it turned out that",
    "few people know that",
    "the court|inquiry found that",
)
SUSPENDING = (
    "it is not true that",
    "nobody believes|believed that",
    "no record|document shows|confirms that",
    "the paper wrongly reported|claimed that",
    "people used to think wrongly that",
    "the court|inquiry found no proof that",
    "one would be glad if it were true that",
)

# Between clauses; what follows a semicolon is outside of what "it is not true that" governs.
CONNECTORS = (", and", ", while", ", but", ", whereas", ", yet", ";", "; meanwhile ,", "; besides ,")
BREAKS = tuple(words for words in CONNECTORS if words.startswith(";"))

# Before a sentence, to lengthen it.
OPENERS = (
    "meanwhile|moreover|besides|incidentally ,",
    "in fact ,",
    "as ever|usual ,",
    "as everybody knows ,",
    "so the story goes :",
    "for better or worse ,",
    "according to the papers|neighbours ,",
    "as the local paper reports|wrote ,",
    "to the surprise of most observers|readers ,",
    "as was noted|mentioned in the last report ,",
    "in a short note on page {count} we read :",
    "after a long|short silence the speaker went on to say :",
)

MONTHS = tuple("January February March April May June July August September October November December".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
COUNTS = tuple("two three four five six seven eight nine ten twelve twenty thirty forty sixty 15 25 80 120 300".split())
