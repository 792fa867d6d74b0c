/// Pure code is fed by peers and files: what they send must not be able to stop the process.
struct TrapRule: FileRule {
    /// Behind or above a trap that no input can reach.
    static let mark = "cannot fail"
    private static let calls: Set<String> = ["fatalError", "precondition", "preconditionFailure", "unsafeDowncast", "unsafeBitCast"]

    func violations(in file: SourceFile) -> [Violation] {
        guard House.isPure(file) else { return [] }
        return file.code.indices.compactMap { index in
            guard !file.isMarked(Self.mark, at: index), let trap = Self.trap(in: file.code[index], file.tokens[index]) else { return nil }
            return Violation(
                file, index, "\(trap) can stop the process",
                "`guard let … else` with a drop, a violation or nil; `// \(Self.mark): <why>` above it when no input can reach it")
        }
    }

    static func trap(in line: String, _ tokens: [Token]) -> String? {
        for token in tokens {
            if calls.contains(token.text), token.after == "(" { return token.text }
            guard token.tail.first == "!" else { continue }
            if token.text == "try" || token.text == "as" { return token.text + "!" }
        }
        return line.utf8.contains(UInt8(ascii: "!")) && forced(Array(line)) ? "a forced unwrap" : nil
    }

    /// `x!`, `f()!`, `a[i]!` and implicitly unwrapped types, but neither `!x` nor `a != b`.
    private static func forced(_ line: [Character]) -> Bool {
        line.indices.contains { index in
            guard line[index] == "!", index > 0 else { return false }
            let before = line[index - 1]
            guard before.isLetter || before.isNumber || "_)]>?".contains(before) else { return false }
            let after = index + 1 < line.count ? line[index + 1] : " "
            return after != "="
        }
    }
}
