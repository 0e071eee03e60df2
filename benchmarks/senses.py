"""Words with two senses: does the passage with the right one come first, and by how much?

    python benchmarks/senses.py --model resift:small

Both passages use the word as often. `--held` measures the pairs that nothing may be tuned on: look at them once, at the
end. No pair may be in training data.
"""

from __future__ import annotations

from typing import Annotated

import typer

from resift import load_scorer

TUNING = (
    (
        "jaguar car",
        "The Jaguar XF was tested on the motorway and in town.",
        "The jaguar rested on a branch above the river.",
    ),
    ("jaguar animal", "A jaguar hunts at night, close to rivers.", "A Jaguar with leather seats was sold at auction."),
    ("mercury planet", "Mercury goes around the sun in 88 days.", "Mercury is used in old thermometers."),
    (
        "mercury metal",
        "Mercury is liquid at room temperature and poisonous.",
        "Mercury has a thin exosphere and many craters.",
    ),
    ("java island", "Volcanoes and rice fields cover much of Java.", "Classes and methods are the heart of Java."),
    (
        "java programming",
        "A class in Java may implement several interfaces.",
        "The trains of Java run from Jakarta to Surabaya.",
    ),
    (
        "bass fishing",
        "We caught a bass near the reeds with a spinning lure.",
        "He plays bass in a jazz trio with a warm tone.",
    ),
    ("bass guitar", "The strings of a bass are tuned in fourths.", "The bass hid under the weeds of the lake."),
    (
        "apple stock",
        "Apple closed two percent higher after its quarterly report.",
        "An apple keeps for months in a cool cellar.",
    ),
    (
        "apple pie",
        "Peel each apple, slice it thin and lay it on the crust.",
        "Apple presented a new phone with a better camera.",
    ),
    (
        "crane bird",
        "The crane dances and calls in the marsh in spring.",
        "The crane lifted the steel beam to the roof.",
    ),
    (
        "crane construction",
        "A crane stood above the site and lifted concrete.",
        "A crane stood in the shallow water and looked for frogs.",
    ),
    ("mouse computer", "Click the left button of the mouse twice.", "The mouse ate the cheese and ran into its hole."),
    ("mouse rodent", "A mouse eats grain and breeds all year.", "A mouse with a scroll wheel is connected by USB."),
    (
        "bank river",
        "The bank was muddy, and willows hung over the stream.",
        "The bank raised the interest on savings accounts.",
    ),
    (
        "bank loan",
        "The bank asked for two years of tax returns before it lent the money.",
        "The bank was steep, and the boat drifted past it.",
    ),
    ("seal animal", "The seal slept on the ice beside its pup.", "The seal of the door was worn and leaked oil."),
    (
        "spring season",
        "In spring the snow melts and the trees blossom.",
        "The spring is made of steel and holds the valve shut.",
    ),
    (
        "bat baseball",
        "He swung the bat and hit the ball over the fence.",
        "The bat left its cave at dusk to catch moths.",
    ),
    (
        "bat mammal",
        "The bat finds insects by echo and sleeps upside down.",
        "The bat was made of ash wood and broke at the handle.",
    ),
    (
        "turkey country",
        "Turkey lies between the Black Sea and the Mediterranean.",
        "Turkey tastes best when it is roasted slowly and basted.",
    ),
    ("turkey recipe", "Roast the turkey for four hours and baste it often.", "The capital of Turkey is Ankara."),
    (
        "amazon river",
        "The Amazon carries more water than any other stream on earth.",
        "The Amazon warehouse ships parcels within a day.",
    ),
    (
        "amazon shopping",
        "My parcel from Amazon came a day late, so I asked for a refund.",
        "The Amazon floods the forest every year.",
    ),
    ("saturn planet", "Saturn is circled by rings of ice.", "Saturn built small sedans until 2010."),
    ("orange fruit", "An orange has thick peel and sweet juice.", "Orange is a blend of red and yellow paint."),
    ("rock music", "The band played rock with loud guitars.", "The rock split when water froze in its cracks."),
    ("date fruit", "A date is sweet and grows on a palm.", "The date of the meeting was moved to Friday."),
    ("palm tree", "The palm bent in the wind on the beach.", "The palm of her hand was cold and wet."),
    ("kiwi bird", "The kiwi cannot fly and lays a very large egg.", "The kiwi is green inside and full of vitamin C."),
)
HELD = (
    ("python snake", "Ball python care guide", "Python tutorial for beginners"),
    (
        "python snake",
        "A python wraps itself around its prey and squeezes.",
        "A python script reads the file line by line.",
    ),
    ("lead metal", "Lead is soft, heavy and poisonous.", "The lead of the team spoke first at the meeting."),
    ("pitcher baseball", "The pitcher threw a fastball past him.", "The pitcher stood on the table, full of water."),
    ("nail hammer", "Drive the nail straight into the board.", "Her nail broke, so she filed and painted it."),
    ("match fire", "Strike the match and light the candle.", "The match ended two to one after extra time."),
    ("ruby gemstone", "The ruby in the ring was deep red.", "The ruby gem was installed with bundler."),
    (
        "swift bird",
        "The swift sleeps in the air and nests under roofs.",
        "Swift compiles for phones and has optionals.",
    ),
    (
        "rust metal",
        "Rust eats through iron where the paint is gone.",
        "Rust checks the borrowing of memory at compile time.",
    ),
    ("pupil eye", "The pupil widens in the dark to let in light.", "The pupil did her homework before school."),
    (
        "trunk elephant",
        "It drinks with its trunk and sprays itself.",
        "The trunk holds two suitcases and a spare tyre.",
    ),
    (
        "organ music",
        "He played the organ in the church on Sunday.",
        "The organ was taken out by the surgeon and cooled.",
    ),
)
"""(query, the right passage, the other one)."""


def main(
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    *,
    held: Annotated[bool, typer.Option("--held", help="Measure the pairs that are kept for the end.")] = False,
) -> None:
    """Print each margin, and how many are above 0 and at least 1."""
    scorer = load_scorer(model)
    margins = []
    for query, right, other in HELD if held else TUNING:
        first, second = scorer.score(query, [right, other])
        margins.append(first - second)
        typer.echo(f"{margins[-1]:+.2f} {query}")
    right_ones, clear = (sum(margin > least for margin in margins) for least in (0, 1))
    typer.echo(f"{right_ones} of {len(margins)} right, {clear} by more than 1")


if __name__ == "__main__":
    typer.run(main)
