"""What NLTK's English Punkt model knows that can matter for lower-cased text.

Punkt (Kiss & Strunk, Computational Linguistics 32(4), 2006) decides by four tables that were learned from newspaper
text. NLTK distributes them as the data package `punkt_tab`, which needs a download; these are its abbreviations and
collocations in full. Of its 20,366 orthographic contexts only four count here: before a word in lower case the model
asks whether that word was ever seen to start a sentence in lower case and never seen with a capital. Its sentence
starters, and all other contexts, are asked for capitalised words only.

The tables are those of the NLTK project (https://www.nltk.org, Apache License 2.0), prepared by Jan Strunk and Tibor
Kiss.
"""

from __future__ import annotations

from nltk.tokenize.punkt import PunktParameters

_SENTENCE_INITIAL_IN_LOWER_CASE = 1 << 4  # a flag of Punkt's orthographic contexts

_ABBREVIATIONS = """
a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col
colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c
h.f h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg
mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i
r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r
v va vs vt w w.c w.r w.va w.w wash wed wis yr
"""

_COLLOCATIONS = {
    "##number##": """
        abreast aes business cbot colgate commodities cooper corrections credit dividend financing genentech
        henley insider international leisure letters notable pay-fone pegasus pepper review rj wedgestone who
        zimmer
        """,
    "b": "edelman levine smith stewart wigton",
    "i": "magnin toussie",
    "j": "aron fialka walter",
    "o": "ludcke",
}


def punkt_parameters() -> PunktParameters:
    """The tables as NLTK's `PunktSentenceTokenizer` takes them; right for lower-cased text only."""
    parameters = PunktParameters()
    parameters.abbrev_types = {*_ABBREVIATIONS.split(), ". . "}
    parameters.collocations = {(first, second) for first, words in _COLLOCATIONS.items() for second in words.split()}
    for word in ("administrators", "b-week", "r-revised", "z-holiday"):
        parameters.add_ortho_context(word, _SENTENCE_INITIAL_IN_LOWER_CASE)
    return parameters
