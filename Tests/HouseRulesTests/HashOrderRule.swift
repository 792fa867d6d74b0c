/// The order of a set or a dictionary is chance: pure code looks things up in them and never walks them.
struct HashOrderRule: HouseRule {
    static let mark = "lookup only"
    /// Behind a walk whose result does not depend on the order.
    static let orderMark = "any order"
    private static let walks: Set<String> = [
        "keys", "values", "map", "flatMap", "compactMap", "mapValues", "filter", "forEach", "reduce", "first", "popFirst", "enumerated",
        "makeIterator",
        "lazy", "prefix", "dropFirst", "zip", "elementsEqual",
    ]

    func violations(in files: [SourceFile]) -> [Violation] {
        let pure = files.filter { House.isPure($0) }
        // `Connection+Receive` walks what `Connection` declares.
        let names = Dictionary(grouping: pure, by: \.identity).mapValues { Set($0.flatMap(Self.hashedNames)) }
        return pure.flatMap { file in
            file.code.indices.flatMap { index -> [Violation] in
                var found: [Violation] = []
                if Self.namesHashedType(file.code[index], file.tokens[index]), !file.isMarked(Self.mark, at: index) {
                    found.append(
                        Violation(
                            file, index, "pure code has a set or a dictionary",
                            "an array, OrderedDictionary or OrderedSet; or `// \(Self.mark)` behind it when it is never walked"))
                }
                if let name = Self.walk(file.tokens[index], over: names[file.identity] ?? []), !file.isMarked(Self.orderMark, at: index) {
                    found.append(
                        Violation(
                            file, index, "`\(name)` is walked in hash order",
                            "walk an ordered index beside it, or sort; `// \(Self.orderMark): <why>` when the order cannot show"))
                }
                return found
            }
        }
    }

    /// `Set<…>`, `Dictionary<…>`, `Set(…)`, `[Key: Value]`.
    static func namesHashedType(_ line: String, _ tokens: [Token]) -> Bool {
        if tokens.contains(where: { ["Set", "Dictionary"].contains($0.text) && ["<", "("].contains($0.after) && $0.before != "." }) {
            return true
        }
        return line.utf8.contains(UInt8(ascii: "[")) && line.utf8.contains(UInt8(ascii: ":"))
            && line.firstMatch(of: #/\[\s*[A-Z][\w.]*(?:<[^\]:]*>)?\s*:\s*[A-Z\[(]/#) != nil
    }

    /// Properties and variables declared with a hashed type.
    static func hashedNames(in file: SourceFile) -> [String] {
        zip(file.code, file.tokens).compactMap { line, tokens in
            guard namesHashedType(line, tokens), let match = line.firstMatch(of: #/\b(?:var|let)\s+(\w+)\s*[:=]/#) else { return nil }
            return String(match.1)
        }
    }

    static func walk(_ tokens: [Token], over names: Set<String>) -> String? {
        guard !names.isEmpty else { return nil }
        for (index, token) in tokens.enumerated() where names.contains(token.text) {
            let next = index + 1 < tokens.count ? tokens[index + 1] : nil
            if token.tail.trimmedEnd.hasSuffix("."), token.tail.filter({ $0 != " " }) == ".", let next, walks.contains(next.text) {
                // Sorted at once: the order is made.
                if tokens.dropFirst(index + 1).contains(where: { $0.text == "sorted" }) { continue }
                return token.text
            }
            var previous = index - 1
            if previous >= 0, tokens[previous].text == "self" { previous -= 1 }
            let endsThere = token.after == "{" || token.after == nil || next?.text == "where"
            if previous >= 0, tokens[previous].text == "in", tokens.contains(where: { $0.text == "for" }), endsThere { return token.text }
        }
        return nil
    }
}

private extension SourceFile {
    var identity: String { folder + "/" + stem }
}
