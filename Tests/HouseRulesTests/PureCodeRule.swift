/// Words that have no place where time, chance and threads must not be.
struct PureCodeRule: FileRule {
    struct Ban: Sendable {
        let words: Set<String>
        /// Counts only when a `(` follows, or when a `.` precedes.
        var called = false
        var member = false
        let rule: String
        let advice: String
    }

    static let bans: [Ban] = [
        Ban(words: ["async", "await"], rule: "suspends", advice: "let the function run to completion and return what to do next"),
        Ban(words: ["Task"], rule: "starts a task", advice: "return a directive; a driver runs it"),
        Ban(words: ["actor"], rule: "is an actor", advice: "a struct with mutating functions; its owner decides who may call"),
        Ban(
            words: ["Mutex", "NSLock", "NSRecursiveLock", "Atomic"], rule: "locks",
            advice: "a plain value; the driver that shares it has the lock"),
        Ban(words: ["DispatchQueue", "Thread", "OperationQueue"], rule: "uses threads", advice: "return a directive; a driver runs it"),
        Ban(
            words: ["ContinuousClock", "SuspendingClock", "DispatchTime", "clock_gettime", "gettimeofday"], rule: "reads a clock",
            advice: "take `at now: Instant` as the last parameter"),
        Ban(words: ["Date"], called: true, rule: "reads a clock", advice: "take `at now: Instant` as the last parameter"),
        Ban(words: ["SystemRandomNumberGenerator"], rule: "draws chance of its own", advice: "take `inout some RandomNumberGenerator`"),
        Ban(
            words: ["random", "shuffled", "shuffle", "randomElement"], called: true, member: true,
            rule: "draws chance in a way that may differ between standard libraries", advice: "SeededGenerator's own draws"),
        Ban(words: ["hashValue"], member: true, rule: "uses the per-process hash seed", advice: "FNV1a64 for stable hashes"),
        Ban(words: ["Hasher"], called: true, rule: "uses the per-process hash seed", advice: "FNV1a64 for stable hashes"),
        Ban(
            words: ["print", "debugPrint", "NSLog", "Logger"], called: true, rule: "logs",
            advice: "emit a trace event or a counted value; drivers log"),
        Ban(
            words: ["FileManager", "ProcessInfo", "URLSession", "getenv", "fopen"], rule: "touches the system",
            advice: "take the bytes or the setting as an argument"),
    ]

    func violations(in file: SourceFile) -> [Violation] {
        guard House.isPure(file) else { return [] }
        return file.code.indices.flatMap { index in
            file.tokens[index].compactMap { token in
                guard let ban = Self.ban(for: token) else { return nil }
                return Violation(file, index, "pure code \(ban.rule) (`\(token.text)`)", ban.advice)
            }
        }
    }

    static func ban(for token: Token) -> Ban? {
        bans.first { ban in
            guard ban.words.contains(token.text) else { return false }
            if ban.called, token.after != "(" { return false }
            return ban.member ? token.before == "." : token.before != "."
        }
    }
}
