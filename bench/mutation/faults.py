"""The places of a source file that can be changed, and how.

Every place keeps its lines: what stands in line 12 of the original stands in line 12 of the copy, so that the compiler's
complaints about the copy tell which place it does not take.
"""
import dataclasses, re
from syntax import operator_end, token_end

BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
SWAPPED = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&+": "&-", "&-": "&+", "&*": "&+", "<<": ">>", ">>": "<<", "&<<": "&>>", "&>>": "&<<",
    "&": "|", "|": "&", "^": "&",
}
NUMBERS = {"Swift." + name for name in "Int Int8 Int16 Int32 Int64 UInt UInt8 UInt16 UInt32 UInt64 Double Float".split()}
LITERALS = {"integer_literal_expr", "float_literal_expr"}
#: Room that is asked for ahead of time changes nothing that a caller could see, and text for people is not compared.
SILENT_CALLS = {"reserveCapacity", "precondition", "preconditionFailure", "assert", "assertionFailure", "fatalError", "invariant"}
SILENT_LABELS = {"minimumCapacity", "reservingCapacity"}
LOOPS = {"while_stmt", "repeat_while_stmt", "for_each_stmt"}
#: What a tree says twice, or of code that nobody wrote.
PASSED_OVER = {"original_init", "inherits", "substitutions", "function_ref", "implicit_self_decl", "attrs", "match_expr_fn", "next_call", "captures"}


@dataclasses.dataclass
class Place:
    file: str
    line: int
    last: int
    function: str
    kind: str
    #: (before, after), one a change.
    changes: list
    #: (offset, length replaced, text, depth); `(#` in the text is where the number stands.
    edits: list
    helper: tuple | None = None
    number: int = 0


class Reader:
    def __init__(self, file, text, tree, type_names):
        self.file, self.text, self.types = file, text, type_names
        self.places, self.seen, self.depth = [], set(), 0
        self.starts = [0] + [m.end() for m in re.finditer(rb"\n", text)]
        self.walk(tree, Context())

    # What the tree says

    def start(self, node): return node["range"]["start"]
    def end(self, node): return token_end(self.text, node["range"]["end"])
    def source(self, node): return self.text[self.start(node) : self.end(node)].decode()
    def type(self, node): return self.types.get(node.get("type", ""), "")

    def line(self, offset):
        low, high = 0, len(self.starts)
        while high - low > 1:
            middle = (low + high) // 2
            if self.starts[middle] <= offset: low = middle
            else: high = middle
        return low + 1

    def operator(self, node):
        """Name, offset of the operator, and the operands of a binary expression."""
        function = node["fn"]
        while "fn" in function: function = function["fn"]
        while "sub_expr" in function: function = function["sub_expr"]
        arguments = [a["expr"] for a in node["args"].get("args", [])]
        name = function.get("decl", {}).get("base_name", "")
        return name, function.get("range", {}).get("start"), arguments

    # What is put down

    def put(self, kind, node, changes, edits, context, helper=None, span=None):
        start, end = span or (self.start(node), self.end(node))
        if (kind, start, end) in self.seen: return
        self.seen.add((kind, start, end))
        self.places.append(Place(self.file, self.line(start), self.line(end - 1), context.function, kind, changes, edits, helper))

    def wrap(self, kind, node, call, change, context, helper=None):
        before = self.source(node)
        self.put(kind, node, [(before, change(before))], [self.opened(node, f"{call}(#, "), self.closed(node, ")")], context, helper)

    def opened(self, node, text): return (self.start(node), 0, text, self.end(node))
    def closed(self, node, text): return (self.end(node), 0, text, self.start(node))

    def negate(self, node, context):
        """A truth value that is no comparison: those are changed themselves."""
        inner = node
        while inner.get("_kind") in ("paren_expr", "autoclosure_expr", "load_expr"): inner = inner.get("sub_expr") or inner.get("single_expr_body")
        kind = inner.get("_kind")
        if inner.get("implicit") or "range" not in inner or kind == "boolean_literal_expr": return
        if kind == "binary_expr": return
        if self.type(inner) != "Swift.Bool": return
        if kind == "prefix_unary_expr":
            name, at, _ = self.operator(inner)
            if name == "!": return
        self.wrap("negate", inner, "mutantNot", lambda s: f"!({s})", context)

    # The walk

    def walk(self, node, context):
        if isinstance(node, list):
            for each in node: self.walk(each, context)
            return
        if not isinstance(node, dict): return
        kind = node.get("_kind", "")
        # What a macro made lies in no file.
        if "buffer_id" in node.get("range", {}): return
        if kind in ("tap_expr", "interpolated_string_literal_expr", "enum_element_decl", "if_config_decl", "macro_expansion_expr"): return
        if node.get("implicit") and (kind.endswith("_decl") and kind != "accessor_decl" or kind in ("default_argument_expr",)): return
        if kind == "accessor_decl" and node.get("implicit"): return
        visit = getattr(self, "at_" + kind, None)
        if visit and visit(node, context): return
        self.inside(node, context)

    def inside(self, node, context):
        for key, value in node.items():
            if key in PASSED_OVER or key in ("range", "type", "_kind", "decl"): continue
            if isinstance(value, (dict, list)): self.walk(value, context)

    def at_func_decl(self, node, context):
        name = node.get("name", {}).get("base_name", {}).get("name", "init")
        self.inside(node, context.entering(name, self.unset(node)))
        return True

    def at_constructor_decl(self, node, context):
        self.inside(node, context.entering("init", self.unset(node), constructs=True))
        return True

    def at_accessor_decl(self, node, context):
        name = node.get("for", {}).get("base_name", {}).get("name", "subscript")
        self.inside(node, context.entering(name, self.unset(node)))
        return True

    def at_closure_expr(self, node, context):
        self.inside(node, context.entering(context.function, context.unset | self.unset(node), closure=True))
        return True

    def unset(self, node):
        """Names that are declared without a value somewhere in it: what sets them has to stay."""
        found, left = set(), [node]
        while left:
            each = left.pop()
            if isinstance(each, list): left += each
            if not isinstance(each, dict): continue
            if each.get("_kind") == "pattern_entry" and "processed_init" not in each and "original_init" not in each:
                found |= set(re.findall(r"'base_name', 'name': '(\w+)'", str(each.get("pattern"))))
            left += [v for k, v in each.items() if k != "original_init" and isinstance(v, (dict, list))]
        return frozenset(found)

    def at_pattern_binding_decl(self, node, context):
        if not context.function:
            for entry in node.get("pattern_entries", []):
                pattern = entry.get("pattern", {})
                while "sub_pattern" in pattern: pattern = pattern["sub_pattern"]
                name = pattern.get("name", {}).get("base_name", {}).get("name", "")
                self.walk(entry, context.naming(name))
            return True

    def at_brace_stmt(self, node, context):
        elements = node.get("elements", [])
        for index, element in enumerate(elements):
            follows = index + 1 < len(elements)
            inner = context.before(follows)
            self.statement(element, inner)
            self.walk(element, inner)
        return True

    def statement(self, node, context):
        if node.get("implicit") or "range" not in node: return
        inner = node
        while inner.get("_kind") in ("try_expr", "await_expr", "paren_expr", "optional_evaluation_expr", "force_try_expr", "optional_try_expr",
                                     "inject_into_optional", "bind_optional_expr", "coerce_expr", "load_expr", "erasure_expr"):
            if "sub_expr" not in inner: return
            inner = inner["sub_expr"]
        kind = inner.get("_kind")
        if kind == "call_expr":
            if self.called(inner) in SILENT_CALLS or self.type(inner) in ("Swift.Never", "Never"): return
            if ".init(" in self.source(inner)[:12]: return
        elif kind == "assign_expr":
            # What an initializer sets has to be set.
            if inner["dest"].get("_kind") == "declref_expr" and self.root(inner["dest"]) in context.unset: return
            if context.constructs and (inner["dest"].get("_kind") == "tuple_expr" or self.root(inner["dest"]) == "self"): return
        elif kind == "binary_expr":
            if not self.operator(inner)[0].endswith("="): return
        elif kind not in ("tuple_shuffle_expr",):
            return
        self.remove("remove", node, context)

    def remove(self, kind, node, context):
        before = self.source(node)
        self.put(kind, node, [(before, "")], [self.opened(node, "if mutantAlive(#) { "), self.closed(node, " }")], context)

    def root(self, node):
        while isinstance(node, dict):
            if node.get("_kind") in ("declref_expr",): return node.get("decl", {}).get("base_name")
            node = node.get("base") or node.get("sub_expr")
        return None

    def called(self, node):
        function = node.get("fn", {})
        while isinstance(function, dict):
            if "decl" in function: return function["decl"].get("base_name", "")
            function = function.get("fn") or function.get("sub_expr")
        return ""

    # Ends

    def at_return_stmt(self, node, context):
        result = node.get("result")
        if result: self.negate(result, context)
        if node.get("implicit"):
            if result and context.may_lose_result and not context.closure and self.type(result) == "()": self.statement(result, context)
        elif not context.guarded and (context.follows or context.loops and context.follows_outside):
            self.remove("go on", node, context)

    def at_throw_stmt(self, node, context):
        if not node.get("implicit") and not context.guarded and context.follows: self.remove("go on", node, context)

    def at_continue_stmt(self, node, context):
        if not node.get("implicit") and not context.guarded and context.follows: self.remove("go on", node, context)

    def at_break_stmt(self, node, context):
        if node.get("implicit") or context.guarded: return
        labelled = re.match(rb"break[ \t]+[A-Za-z_]", self.text[self.start(node) :])
        if not context.breaks_loop or labelled: return
        self.remove("go on", node, context)

    # Conditions

    def condition(self, node, context, loop=False):
        if node.get("_kind") == "pattern":
            start = self.clause_start(node)
            if start is None: return
            end = self.end(node["initializer"]) if "range" in node.get("initializer", {}) else start + 1
            before = self.text[start:end].decode()
            self.put("no match", node, [(before, "no match")], [(start, 0, "mutantAlive(#), ", end)], context, span=(start, end))
        elif not loop:
            self.negate(node, context)

    def clause_start(self, node):
        """`let`, `var` or `case`, back from the pattern's initializer."""
        initializer = node.get("initializer")
        if not initializer or "range" not in initializer: return None
        stop = self.start(initializer)
        back = self.text.rfind(b"\n", 0, max(0, stop - 300))
        found = [m.start() for m in re.finditer(rb"(?:(?<=[\s,(])(?:let|var|case)(?=\s))", self.text[back + 1 : stop + 1])]
        # The nearest one that begins a clause; `case .some(let x)` has an inner one.
        for place in reversed(found):
            at = back + 1 + place
            within = self.text[at:stop]
            if within.count(b"(") == within.count(b")") and re.search(rb"(?:\b(?:if|guard|while)|,)\s*$", self.text[max(0, at - 200) : at]): return at
        return None

    def conditions(self, node, context, loop=False):
        for each in node.get("conditions", []):
            self.condition(each, context, loop)
            self.walk(each, dataclasses.replace(context, while_condition=loop))

    def at_if_stmt(self, node, context):
        self.conditions(node, context)
        self.walk(node.get("then_stmt"), context.unguarded())
        self.walk(node.get("else_stmt"), context.unguarded())
        return True

    def at_guard_stmt(self, node, context):
        self.conditions(node, context)
        self.walk(node.get("body"), context.guarding())
        return True

    def at_ternary_expr(self, node, context):
        if "cond_expr" in node: self.negate(node["cond_expr"], context)

    def at_while_stmt(self, node, context):
        # Without an end of its own a loop needs no value after it; the compiler would miss one.
        if self.text[self.start(node) :].startswith(b"while true"):
            self.walk(node.get("body"), context.looping())
            return True
        at = self.text.index(b"while", self.start(node)) + 5
        until = self.start(node["body"])
        self.put("no turn", node, [(self.text[at - 5 : until].decode().strip(), "no turn")], [(at, 0, " mutantAlive(#),", until)], context, span=(at, until))
        self.conditions(node, context, loop=True)
        self.walk(node.get("body"), context.looping())
        return True

    def at_repeat_while_stmt(self, node, context):
        for key, value in node.items():
            if isinstance(value, dict) and key != "range": self.walk(value, context.looping())
        return True

    def at_for_each_stmt(self, node, context):
        body = node.get("body")
        if body and "where_expr" not in node and "where" not in node and "range" in body:
            at = self.start(body)
            before = self.text[self.start(node) : at].decode().strip()
            if not re.match(r"for\s+(try\s+)?await", before):
                self.put("no turn", node, [(before, "no turn")], [(at, 0, "where mutantAlive(#) ", at + 1)], context, span=(self.start(node), at))
        for key, value in node.items():
            if key in ("range", "body", "next_call"): continue
            if key in ("where_expr", "where") and isinstance(value, dict): self.negate(value, context)
            if isinstance(value, (dict, list)): self.walk(value, context)
        self.walk(body, context.looping())
        return True

    def at_switch_stmt(self, node, context):
        self.walk(node.get("subject_expr"), context)
        for case in node.get("cases", []): self.walk(case, context.switching())
        return True

    def at_case_label_item(self, node, context):
        self.walk(node.get("pattern"), context.matching())
        guard = node.get("guard") or node.get("guard_expr")
        if guard:
            self.negate(guard, context)
            self.walk(guard, context)
        return True

    # Expressions

    def at_binary_expr(self, node, context):
        if node.get("implicit"): return
        name, at, operands = self.operator(node)
        if at is None or len(operands) != 2 or any("range" not in each for each in operands): return
        left, right = operands
        end = operator_end(self.text, at)
        if self.text[at:end].decode() != name: return
        before, whole = self.source(node), self.type(node)
        start = self.start(node)

        def changed(other): return (before, (self.text[start:at] + other.encode() + self.text[end : self.end(node)]).decode())

        def call(helper, changes, key, mark="", width=end - at):
            first = mark + helper + "(#, "
            self.put(name, node, changes, [(start, 0, first + ("&" if name in COMPOUND else ""), self.end(node)), (at, width, ",", 0), self.closed(node, ")")], context, key)

        types = (self.type(left), self.type(self.bare(right)))
        if name in BOUNDARY:
            # Tuples compare, and are not Comparable.
            if types[0].startswith("("): return
            changes = [changed(BOUNDARY[name])] + ([] if context.while_condition else [changed(NEGATED[name])])
            if types[0] in NUMBERS and types[0] == types[1]:
                key = ("compare", name, types[0])
                call(helper_name(key), changes, key)
            else:
                call("mutant" + WORDS[name], changes, None)
        elif name in ("==", "!=", "===", "!==", "~="):
            self.put(name, node, [changed({"==": "!=", "!=": "==", "===": "!==", "!==": "==="}.get(name, "!~="))],
                     [self.opened(node, "mutantNot(#, "), self.closed(node, ")")], context)
        elif name in ("&&", "||"):
            call("mutantAnd" if name == "&&" else "mutantOr", [changed("||" if name == "&&" else "&&")], None)
            for each in operands: self.negate(each, context)
        elif name == "??":
            self.put(name, node, [(before, self.source(self.bare(right)))], [self.opened(left, "mutantNone(#, "), self.closed(left, ")")], context)
        elif name in ("..<", "..."):
            if types[0] in NUMBERS and types[0] == types[1] and types[0] not in ("Swift.Double", "Swift.Float"):
                key = ("range", name, types[0])
                call(helper_name(key), [(before, f"{self.source(left)}{name}({self.source(right)} - 1)")], key)
        elif name in SWAPPED:
            if not (known(types[0]) and known(types[1]) and known(whole)): return
            if name == "+" and re.match(r"Swift\.(Array|ArraySlice|String|Substring|ContiguousArray)\b|\[", whole):
                call("mutantJoin", [(before, self.source(left))], None)
            elif name == "-" and types[0] == types[1] and whole != types[0]:
                key = ("turn", name, *types, whole)
                call(helper_name(key), [(before, f"{self.source(right)} - {self.source(left)}")], key)
            elif whole == types[0]:
                key = ("swap", name, *types, whole)
                call(helper_name(key), [changed(SWAPPED[name])], key)
        elif name in COMPOUND:
            target = types[0].removeprefix("inout ")
            if not (known(target) and known(types[1])) or re.match(r"Swift\.(Array|ArraySlice|String)\b|\[", target): return
            key = ("assign", name, target, types[1])
            call(helper_name(key), [changed(COMPOUND[name])], key)

    def bare(self, node):
        while node.get("_kind") == "autoclosure_expr": node = node.get("single_expr_body")
        return node

    def at_prefix_unary_expr(self, node, context):
        name, at, operands = self.operator(node)
        if node.get("implicit") or at is None or len(operands) != 1: return
        if name == "!":
            if operands[0].get("_kind") != "binary_expr" and not (operands[0].get("_kind") == "paren_expr"):
                self.wrap("negate", node, "mutantNot", lambda s: s[1:], context)
        elif name == "-" and operands[0].get("_kind") not in LITERALS and known(self.type(node)):
            key = ("minus", self.type(node))
            before = self.source(node)
            self.put("-", node, [(before, before[1:])], [(self.start(node), 1, helper_name(key) + "(#, ", self.end(node)), self.closed(node, ")")], context, key)

    def at_call_expr(self, node, context):
        name = self.called(node)
        if name in SILENT_CALLS: return True
        arguments = node.get("args", {})
        function = node.get("fn", {})
        while function.get("implicit") and "sub_expr" in function: function = function["sub_expr"]
        if name in ("min", "max") and function.get("_kind") == "declref_expr" and function["decl"].get("decl_usr") in ("s:s3minyxx_xtSLRzlF", "s:s3maxyxx_xtSLRzlF"):
            at = self.start(node)
            if self.text[at : at + 4] == name.encode() + b"(":
                other = "max" if name == "min" else "min"
                before = self.source(node)
                self.put(name, node, [(before, other + before[3:])], [(at, 4, f"mutant{name.capitalize()}(#, ", self.end(node))], context)
        if any(a.get("label") in SILENT_LABELS for a in arguments.get("args", [])): return True

    def at_integer_literal_expr(self, node, context): self.literal(node, context, float_value=False)
    def at_float_literal_expr(self, node, context): self.literal(node, context, float_value=True)

    def literal(self, node, context, float_value):
        type = self.type(node)
        if node.get("implicit") or type not in NUMBERS or "range" not in node: return
        before = self.source(node)
        digits = before.lstrip("-").replace("_", "")
        sign = "-" if before.startswith("-") else ""
        try: value = float(digits) if float_value else int(digits, 0 if digits[:2] in ("0x", "0b", "0o") else 10)
        except ValueError: return
        real = float_value or type in ("Swift.Double", "Swift.Float")
        if value == 0: after = "1"
        elif real: after = f"{sign}{value * 2!r}"
        elif value <= 64: after = f"{sign}{value + 1}"
        else: after = f"{sign}{value // 2}"
        key = ("pick", type)
        self.put("number", node, [(before, after)], [self.opened(node, f"{helper_name(key)}(#, "), self.closed(node, f", {after})")], context, key)

    def at_boolean_literal_expr(self, node, context):
        if node.get("implicit") or context.pattern or self.type(node) != "Swift.Bool": return
        before = self.source(node)
        after = "false" if before == "true" else "true"
        self.wrap("truth", node, "mutantNot", lambda s: after, context)


WORDS = {
    "<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "+": "Plus", "-": "Minus", "*": "Times", "/": "Divided", "%": "Modulo",
    "&+": "WrappedPlus", "&-": "WrappedMinus", "&*": "WrappedTimes", "<<": "ShiftLeft", ">>": "ShiftRight", "&<<": "MaskedLeft", "&>>": "MaskedRight",
    "&": "BitAnd", "|": "BitOr", "^": "BitXor", "..<": "HalfOpen", "...": "Closed",
}
COMPOUND = {name + "=": SWAPPED[name] + "=" for name in SWAPPED}
WORDS |= {name + "=": WORDS[name] + "Assign" for name in SWAPPED}


def known(type):
    """A type that a function of another file can name: no generic parameter of its surroundings, no closure, nothing private."""
    return bool(type) and not re.search(r"\b[A-Z]\d?\b(?!\w)|->|<|\(|some |any | in ", type.replace("Swift.", ""))


def helper_name(key):
    words = [WORDS.get(part, part) for part in key]
    return "mutant" + "_".join(re.sub(r"\W+", "", word.split(".")[-1] if "." in word else word.capitalize()) for word in words)


@dataclasses.dataclass(frozen=True)
class Context:
    """Where the walk is: in what, before what."""

    function: str = ""
    unset: frozenset = frozenset()
    constructs: bool = False
    closure: bool = False
    may_lose_result: bool = False
    guarded: bool = False
    follows: bool = False
    follows_outside: bool = False
    loops: bool = False
    breaks_loop: bool = False
    pattern: bool = False
    while_condition: bool = False

    def entering(self, name, unset, constructs=False, closure=False):
        return Context(function=name, unset=unset, constructs=constructs, closure=closure, may_lose_result=True)

    def naming(self, name): return dataclasses.replace(self, function=name)
    def before(self, follows): return dataclasses.replace(self, follows=self.follows or follows, may_lose_result=self.may_lose_result)
    def guarding(self): return dataclasses.replace(self, guarded=True)
    def unguarded(self): return dataclasses.replace(self, guarded=False, may_lose_result=False)
    def looping(self):
        return dataclasses.replace(self, guarded=False, follows=False, follows_outside=True, loops=True, breaks_loop=True, may_lose_result=False)
    def switching(self): return dataclasses.replace(self, guarded=False, breaks_loop=False, may_lose_result=False)
    def matching(self): return dataclasses.replace(self, pattern=True)


def render(text, places):
    """The file with all places in it, and where each place lies in the result: [(start, end, place)]."""
    edits = []
    for order, place in enumerate(places):
        for offset, width, insert, other in place.edits:
            closes = width == 0 and other < offset
            # At one offset: what closes comes first, the innermost (which began last) before the others; then what opens, the widest first.
            rank = (0, -other, -order) if closes else (1, -other if width == 0 or other else 0, order)
            edits.append((offset, rank, width, insert.replace("(#", f"({place.number}"), place))
    edits.sort(key=lambda e: e[:2])
    out, at, length, spans = [], 0, 0, {}
    for offset, _, width, insert, place in edits:
        piece = text[at:offset]
        out.append(piece)
        length += len(piece)
        data = insert.encode()
        first, last = spans.get(place.number, (length, length))
        out.append(data)
        length += len(data)
        spans[place.number] = (first, max(last, length))
        at = max(at, offset + width)
    out.append(text[at:])
    numbers = {place.number: place for place in places}
    return b"".join(out), [(first, last, numbers[n]) for n, (first, last) in spans.items()]
