/// A broken rule, with what to write instead.
struct Violation: CustomStringConvertible, Equatable {
    let path: String
    /// From 1; 0 when the whole file or folder is meant.
    let line: Int
    let rule: String
    let advice: String

    /// `line` counts from 0.
    init(_ file: SourceFile, _ line: Int, _ rule: String, _ advice: String) {
        self.init(path: file.path, line: line + 1, rule: rule, advice: advice)
    }

    init(path: String, line: Int = 0, rule: String, advice: String) {
        self.path = path
        self.line = line
        self.rule = rule
        self.advice = advice
    }

    var description: String { "\(path)\(line > 0 ? ":\(line)" : ""): \(rule). Instead: \(advice)" }
}

/// Something every file, or the package as a whole, must keep to.
protocol HouseRule: Sendable {
    func violations(in files: [SourceFile]) -> [Violation]
}

/// A rule that looks at one file at a time.
protocol FileRule: HouseRule {
    func violations(in file: SourceFile) -> [Violation]
}

extension FileRule {
    func violations(in files: [SourceFile]) -> [Violation] { files.flatMap { violations(in: $0) } }
}
