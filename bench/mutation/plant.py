"""All mutants of a module in one build: read, number, write, and drop what the compiler does not take."""
import dataclasses, hashlib, json, pathlib, re
import faults, helpers, syntax
from tree import SCRATCH, BuildFailed

#: Enough for the checks that the compiler makes only when those before it passed.
MOST_ROUNDS = 15
HELPERS = "MutantHelpers.swift"
PLANTED = pathlib.Path(__file__).resolve().parent / "planted.json"


@dataclasses.dataclass
class Mutant:
    number: int
    place: int
    file: str
    line: int
    function: str
    kind: str
    before: str
    after: str
    source: str

    def change(self, width=70):
        if self.kind == "remove": return f"removed: {short(self.before, width)}"
        if self.kind == "planted": return f"{self.function}: {short(self.after, width)}"
        if self.kind == "go on": return f"goes on: {short(self.before, width)}"
        if self.kind in ("no match", "no turn"): return f"{self.after}: {short(self.before, width)}"
        return f"{short(self.before, width)}  →  {short(self.after, width)}"

    def key(self):
        """What it is by content, whatever its line and number."""
        return self.file, self.function, self.source, squeezed(self.before), squeezed(self.after)


def squeezed(text): return " ".join(text.split())


def short(text, width):
    text = squeezed(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def mangled(node, found):
    if isinstance(node, dict):
        name = node.get("type")
        if isinstance(name, str) and name.startswith("$s"): found.add(name)
        for value in node.values(): mangled(value, found)
    elif isinstance(node, list):
        for value in node: mangled(value, found)


def read(tree):
    """The module's texts and its places, numbered."""
    arguments = tree.arguments()
    trees = syntax.trees(tree.files(), arguments, SCRATCH / "syntax")
    names = set()
    for _, each in trees: mangled(each, names)
    types = syntax.demangled(names)
    texts, places = {}, []
    for path, each in trees:
        name = str(pathlib.Path(path).relative_to(tree.sources))
        texts[name] = pathlib.Path(path).read_bytes()
        places += faults.Reader(name, texts[name], each, types).places
    places = [*written(tree, texts), *places]
    places.sort(key=lambda p: (p.file, p.edits[0][0], -p.edits[0][3]))
    number = 1
    for place in places:
        place.number = number
        number += len(place.changes)
    return texts, places


def written(tree, texts):
    """Faults written by hand, which no rule would make: one statement or expression in the place of another."""
    if not PLANTED.exists(): return
    for each in json.loads(PLANTED.read_text()):
        if each["module"] != tree.module: continue
        text, original = texts[each["file"]], each["original"].encode()
        if text.count(original) != 1: raise BuildFailed(f"{PLANTED.name}: `{each['original']}` stands {text.count(original)} times in {each['file']}")
        start = text.index(original)
        end, line = start + len(original), text.count(b"\n", 0, start) + 1
        before, after = ("(mutantIs(#) ? ({}) : (", "))") if each["kind"] == "expression" else ("if mutantIs(#) {{ {} }} else {{ ", " }")
        # Lines stay where they are.
        before = before.format("; ".join(l.strip() for l in each["replacement"].splitlines()))
        yield faults.Place(
            each["file"], line, line + original.count(b"\n"), each["why"], "planted", [(each["original"], each["replacement"])],
            [(start, 0, before, end), (end, 0, after, start)])


def rendered(texts, places):
    contents, spans = {}, {}
    for name, text in texts.items():
        contents[name], spans[name] = faults.render(text, [p for p in places if p.file == name])
    imports = {m.decode() for text in texts.values() for m in re.findall(rb"^(?:\w+ )?import (?:struct |enum |class |func )?(\w+)", text, re.M)}
    source, owners = helpers.source({p.helper for p in places if p.helper}, imports)
    contents[HELPERS] = source.encode()
    return contents, spans, owners


def refused(complaints, contents, spans, owners, places):
    """The places that the complaints are about: the innermost that holds the spot, else all of the line."""
    drop = set()
    for file, line, column, message in complaints:
        if file == HELPERS:
            drop |= {p.number for p in places if p.helper is not None and p.helper == owners.get(line)}
            continue
        unset = re.match(r"(?:constant|variable) '(\w+)' .*initialized", message)
        if unset:
            sets = [p for p in places if p.file == file and p.line <= line and p.kind == "remove" and re.match(rf"{unset[1]}\s*=", p.changes[0][0])]
            if sets:
                drop.add(sets[-1].number)
                continue
        starts = [0] + [m.end() for m in re.finditer(rb"\n", contents[file])]
        spot = starts[line - 1] + column - 1
        holding = [(last - first, p.number) for first, last, p in spans[file] if first <= spot < last]
        on_line = [p.number for p in places if p.file == file and p.line <= line <= p.last]
        if any(words in message for words in ("missing return", "initialized", "initializing", "isn't called on all paths")):
            # Told where the value is missed, not where it is no longer given: what no longer happens before. Or it is set
            # twice, as what follows no longer ends the way there.
            before = [p for p in places if p.file == file and p.line <= line]
            gone = [p for p in before if p.function == before[-1].function and p.line > line - 60 and p.kind in ("go on", "remove", "no turn", "truth")]
            if "only be initialized once" in message:
                gone += [p for p in places if p.file == file and line <= p.line < line + 10 and p.function == before[-1].function and p.kind == "go on"]
            drop |= {p.number for p in gone}
            if gone: continue
        if holding: drop.add(min(holding)[1])
        else: drop |= set(on_line)
    return drop


def plant(tree, say):
    """Writes the changed module and builds it; the mutants, and how many places were dropped."""
    tree.prepare()
    say("building what the module needs")
    tree.build("--target", "MutantNeeds")
    say("reading the sources")
    texts, places = read(tree)
    cache = SCRATCH / "plans" / f"{tree.module}.json"
    stamp = hashlib.sha256(repr([(p.number, p.file, p.kind, p.edits) for p in places]).encode() + repr(sorted(texts.items())).encode()).hexdigest()
    known = json.loads(cache.read_text()) if cache.exists() else {}
    dropped = set(known["dropped"]) if known.get("stamp") == stamp else set()
    arguments = tree.arguments()
    for round in range(MOST_ROUNDS):
        kept = [p for p in places if p.number not in dropped]
        contents, spans, owners = rendered(texts, kept)
        tree.put(contents)
        if known.get("stamp") == stamp: break
        say(f"checking {len(kept)} places, round {round + 1}")
        complaints = tree.complaints(arguments)
        if not complaints: break
        more = refused(complaints, contents, spans, owners, kept)
        if not more: raise BuildFailed("no place accounts for these complaints:\n" + "\n".join(map(str, complaints[:20])))
        dropped |= more
    else: raise BuildFailed(f"still refused after {MOST_ROUNDS} rounds:\n" + "\n".join(map(str, complaints[:20])))
    cache.parent.mkdir(exist_ok=True)
    cache.write_text(json.dumps({"stamp": stamp, "dropped": sorted(dropped)}))
    say(f"building {len(kept)} places ({len(dropped)} dropped)")
    tree.build("--build-tests")
    mutants = []
    for place in kept:
        source = texts[place.file].split(b"\n")[place.line - 1].decode().strip()
        for index, (before, after) in enumerate(place.changes):
            mutants.append(Mutant(place.number + index, place.number, place.file, place.line, place.function, place.kind, before, after, source))
    return mutants, len(dropped)
