"""The Swift functions that the places call: one simple function for each operator and pair of types, so that the type checker has no choice."""
from faults import BOUNDARY, COMPOUND, NEGATED, SWAPPED, helper_name

GENERAL = """\
@inline(__always) public func mutantAlive(_ number: Int32) -> Bool { !mutantIs(number) }
@inline(__always) public func mutantNot(_ number: Int32, _ value: Bool) -> Bool { mutantIs(number) ? !value : value }
@inline(__always) public func mutantAnd(_ number: Int32, _ a: Bool, _ b: @autoclosure () throws -> Bool) rethrows -> Bool {
    if mutantIs(number) { return try a || b() }
    return try a && b()
}
@inline(__always) public func mutantOr(_ number: Int32, _ a: Bool, _ b: @autoclosure () throws -> Bool) rethrows -> Bool {
    if mutantIs(number) { return try a && b() }
    return try a || b()
}
@inline(__always) public func mutantMin<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> T { mutantIs(number) ? max(a, b) : min(a, b) }
@inline(__always) public func mutantMax<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> T { mutantIs(number) ? min(a, b) : max(a, b) }
@inline(__always) public func mutantNone<T>(_ number: Int32, _ value: T?) -> T? { mutantIs(number) ? nil : value }
@inline(__always) public func mutantJoin<T: RangeReplaceableCollection>(_ number: Int32, _ a: T, _ b: T) -> T { mutantIs(number) ? a : a + b }
@inline(__always) public func mutantLess<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
    switch mutantChoice(number, 2) { case 1: a <= b; case 2: a >= b; default: a < b }
}
@inline(__always) public func mutantLessOrEqual<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
    switch mutantChoice(number, 2) { case 1: a < b; case 2: a > b; default: a <= b }
}
@inline(__always) public func mutantGreater<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
    switch mutantChoice(number, 2) { case 1: a >= b; case 2: a <= b; default: a > b }
}
@inline(__always) public func mutantGreaterOrEqual<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
    switch mutantChoice(number, 2) { case 1: a > b; case 2: a < b; default: a >= b }
}
"""


def function(key):
    kind, *parts = key
    head = f"@inline(__always) public func {helper_name(key)}(_ number: Int32, "
    if kind == "compare":
        name, type = parts
        body = f"switch mutantChoice(number, 2) {{ case 1: a {BOUNDARY[name]} b; case 2: a {NEGATED[name]} b; default: a {name} b }}"
        return head + f"_ a: {type}, _ b: {type}) -> Bool {{ {body} }}"
    if kind == "range":
        name, type = parts
        result = "Range" if name == "..<" else "ClosedRange"
        return head + f"_ a: {type}, _ b: {type}) -> {result}<{type}> {{ mutantIs(number) && a < b ? a{name}(b - 1) : a{name}b }}"
    if kind == "turn":
        name, left, right, result = parts
        return head + f"_ a: {left}, _ b: {right}) -> {result} {{ mutantIs(number) ? b {name} a : a {name} b }}"
    if kind == "swap":
        name, left, right, result = parts
        return head + f"_ a: {left}, _ b: {right}) -> {result} {{ mutantIs(number) ? a {SWAPPED[name]} b : a {name} b }}"
    if kind == "assign":
        name, left, right = parts
        return head + f"_ a: inout {left}, _ b: {right}) {{ if mutantIs(number) {{ a {COMPOUND[name]} b }} else {{ a {name} b }} }}"
    if kind == "minus": return head + f"_ a: {parts[0]}) -> {parts[0]} {{ mutantIs(number) ? a : -a }}"
    if kind == "pick": return head + f"_ a: {parts[0]}, _ b: {parts[0]}) -> {parts[0]} {{ mutantIs(number) ? b : a }}"
    raise ValueError(kind)


def source(keys, imports):
    """The file, and which line belongs to which key."""
    lines = [f"import {name}" for name in sorted(imports | {"CMutants"})] + GENERAL.splitlines()
    owners = {}
    for key in sorted(keys):
        lines.append(function(key))
        owners[len(lines)] = key
    return "\n".join(lines) + "\n", owners
