/// What nothing names is not kept: a declaration whose name stands nowhere else in the package, tests included.
struct DeadDeclarationRule: HouseRule {
    /// For what a protocol or the system calls by its name.
    static let mark = "called from outside"
    private static let keywords: Set<String> = ["func", "var", "let", "struct", "enum", "class", "typealias"]
    /// Names that the language or the standard library calls.
    private static let called: Set<String> = ["callAsFunction", "unownedExecutor", "main", "body", "description"]

    func violations(in files: [SourceFile]) -> [Violation] {
        var uses: [String: Int] = [:]
        for file in files {
            // As written: a name may stand in a string's interpolation alone.
            for line in file.lines where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                for token in Token.tokens(of: line) { uses[token.text, default: 0] += 1 }
            }
        }
        return files.filter { $0.isUnder("Sources") }.flatMap { file in
            file.code.indices.flatMap { index in
                Self.declared(in: file.tokens[index], line: file.code[index]).compactMap { name -> Violation? in
                    guard uses[name] == 1, !Self.called.contains(name), !file.isMarked(Self.mark, at: index) else { return nil }
                    return Violation(
                        file, index, "nothing names \(name)", "remove it, or say who calls it: `// \(Self.mark): <by whom>`")
                }
            }
        }
    }

    /// Names declared on a line for this package alone: what is public may have its users elsewhere.
    private static func declared(in tokens: [Token], line: String) -> [String] {
        guard !tokens.contains(where: { $0.text == "public" || $0.text == "override" || $0.text == "case" || $0.text == "for" }) else { return [] }
        return tokens.indices.dropLast().compactMap { index in
            guard keywords.contains(tokens[index].text), tokens[index].before != ".", tokens[index].tail.allSatisfy({ $0 == " " }) else { return nil }
            return tokens[index + 1].text
        }
    }
}
